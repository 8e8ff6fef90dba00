"""Languages as zhwiki calls them, and the prefixes of links to the same article in another language."""

from __future__ import annotations

NAMES = dict(
    pair.split("=")
    for pair in """
    en=英语 fr=法语 de=德语 ja=日语 ko=朝鲜语 ru=俄语 es=西班牙语 it=意大利语 pt=葡萄牙语 la=拉丁语 el=希腊语
    grc=古希腊语 ar=阿拉伯语
    he=希伯来语 nl=荷兰语 sv=瑞典语 da=丹麦语 no=挪威语 nb=书面挪威语 nn=新挪威语 fi=芬兰语 is=冰岛语 pl=波兰语
    cs=捷克语 sk=斯洛伐克语
    hu=匈牙利语 ro=罗马尼亚语 bg=保加利亚语 sr=塞尔维亚语 hr=克罗地亚语 sl=斯洛文尼亚语 mk=马其顿语 sq=阿尔巴尼亚语
    uk=乌克兰语
    be=白俄罗斯语 lt=立陶宛语 lv=拉脱维亚语 et=爱沙尼亚语 tr=土耳其语 fa=波斯语 hi=印地语 ur=乌尔都语 bn=孟加拉语
    ta=泰米尔语
    te=泰卢固语 th=泰语 vi=越南语 id=印尼语 ms=马来语 mn=蒙古语 bo=藏语 ug=维吾尔语 kk=哈萨克语 ky=吉尔吉斯语
    uz=乌兹别克语
    tg=塔吉克语 tk=土库曼语 az=阿塞拜疆语 hy=亚美尼亚语 ka=格鲁吉亚语 my=缅甸语 km=高棉语 lo=老挝语 ne=尼泊尔语
    si=僧伽罗语 sa=梵语
    pi=巴利语 ga=爱尔兰语 gd=苏格兰盖尔语 cy=威尔士语 br=布列塔尼语 eu=巴斯克语 ca=加泰罗尼亚语 gl=加利西亚语
    mt=马耳他语
    lb=卢森堡语 af=南非语 sw=斯瓦希里语 am=阿姆哈拉语 so=索马里语 ha=豪萨语 yo=约鲁巴语 zu=祖鲁语 mg=马达加斯加语
    tl=他加禄语
    fil=菲律宾语 haw=夏威夷语 mi=毛利语 sm=萨摩亚语 eo=世界语 ia=国际语 yi=意第绪语 ku=库尔德语 ps=普什图语 sd=信德语
    pa=旁遮普语
    gu=古吉拉特语 mr=马拉地语 kn=卡纳达语 ml=马拉雅拉姆语 or=奥里亚语 as=阿萨姆语 dz=宗喀语 mnc=满语 za=壮语 ii=彝语
    nan=闽南语
    yue=粤语 hak=客家语 wuu=吴语 zh=中文 lzh=文言文 ang=古英语 non=古诺尔斯语 fro=古法语 sco=低地苏格兰语
    bs=波斯尼亚语 sh=塞尔维亚-克罗地亚语
    tt=鞑靼语 ba=巴什基尔语 cv=楚瓦什语 os=奥塞梯语 ce=车臣语 ab=阿布哈兹语 gsw=阿勒曼尼语 nds=低地德语 fy=弗里斯兰语
    oc=奥克语
    co=科西嘉语 sc=萨丁语 fur=弗留利语 rm=罗曼什语 qu=克丘亚语 gn=瓜拉尼语 ay=艾马拉语 nah=纳瓦特尔语 iu=因纽特语
    kl=格陵兰语
    arc=亚拉姆语 akk=阿卡德语 sux=苏美尔语 egy=埃及语 cop=科普特语 syc=古典叙利亚语 got=哥特语 cu=古教会斯拉夫语
    jv=爪哇语 su=巽他语
    pt-br=巴西葡萄牙语 en-us=美国英语 en-gb=英国英语 sr-latn=塞尔维亚语 ko-kp=朝鲜语 ko-kr=韩语
    """.split()
)
"""Code -> name. As in lang-xx: 英语：George Washington."""

INTERLANGUAGE = frozenset((*NAMES, *"""
    simple ceb war arz sh min io nov vo szl als bar ast an scn lmo vec pms nap fo se li vls zea nds-nl bat-smg roa-rup
    zh-yue zh-min-nan zh-classical be-tarask be-x-old fiu-vro map-bms cdo gan hsb dsb csb kab ht jbo pam bcl diq ckb
    mzn
    new bpy gom mai sah udm mhr myv kv koi bxr xal av lez tyv rue stq ksh pfl pdc lad ext mwl wa rmy cbk-zam
    """.split())) - {"als", "io"}  # fmt: skip
