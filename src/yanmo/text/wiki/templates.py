"""Which template shows what: a table of names. One that is not in it shows nothing: infoboxes, navigation, maintenance,
citations, hatnotes. What is in it is there because readers see its text within a sentence.

Names are zhwiki's with their redirects, compared without case; a few families are known by their beginnings (lang-xx).
"""

from __future__ import annotations

from yanmo.text.wiki.handlers import (
    RAISED,
    Arguments,
    Handler,
    age,
    always,
    as_of,
    audio,
    between,
    block,
    circa,
    coded,
    convert,
    day,
    day_of_death,
    disambiguation,
    exponent,
    folded,
    foreign,
    fraction,
    interlanguage,
    items,
    joined_by,
    jpn,
    kor,
    lang,
    langx,
    last,
    life,
    life_aside,
    link_en,
    link_helper,
    linked,
    nihongo,
    note_ta,
    nuclide,
    page_name,
    poem,
    position,
    pronounced,
    pulled_quote,
    quote,
    raised,
    regional,
    reign,
    ruby,
    translink,
    value,
    vie,
    year,
)
from yanmo.text.wiki.page import HOLE, Page


def _named(handler: Handler, names: str) -> dict[str, Handler]:
    return {name.replace("_", " "): handler for name in names.split()}


HANDLERS: dict[str, Handler] = {
    **_named(life, "bd 生卒 生卒年 生卒日期 生卒年月 birthdeath lifetime bd2 bdl"),
    **_named(
        day,
        """
        birth_date birth-date birthdate dob 出生日期 出生日 生日 birth_date_and_age birth-date_and_age bda
        birth_date_and_age2 出生日期及年龄 出生日期及年齡 出生日期和年龄 出生日期和年齡 出生日期与年龄 出生年月日
        birth_date_and_age/zh death-date deathdate death_date 逝世日期 死亡日期 去世日期 死亡日 逝世年月日
        death-date_and_age start_date end_date start-date end-date start_date_and_age end_date_and_age
        start_date_and_years_ago release_date 开始日期 開始日期 结束日期 結束日期 成立日期 date dts dtsh
        date_table_sorting 日期 film_date publication_date launch_date opdate 年月日 yearmonthday
        """,
    ),
    **_named(
        day_of_death,
        """
        death_date_and_age dda death_date_and_given_age 死亡日期与年龄 死亡日期與年齡 死亡日期及年龄 死亡日期及年齡
        逝世日期及年龄 逝世日期及年齡 逝世日期与年龄 逝世日期與年齡 死亡日期和年龄 去世日期及年龄 去世日期及年齡
        death-date_and_age2
        """,
    ),
    **_named(
        year,
        """
        birth_year birth_year_and_age bya death_year death_year_and_age dya birth-year 出生年份 出生年 逝世年份
        逝世年 出生年份及年龄 出生年份及年齡 出生年及年龄 逝世年份及年龄
        """,
    ),
    **_named(age, "age 年龄 年齡 age_in_years age_in_years_and_days 周岁 周歲 age_at_date"),
    **_named(as_of, "as_of asof 截至 截止"),
    **_named(circa, "circa c. ca. 大约 大約 约 約"),
    **_named(reign, "reign 在位"),
    **_named(langx, "langx lang-x"),
    **_named(lang, "lang lang2 language 语言 語言 langn lang_cat lang-"),
    **_named(link_en("en"), "le link-en link-en2 ilh-en internal_link_helper/en"),
    **_named(translink, "tsl translink tsl2 translation_link liw1 translate_link"),
    **_named(interlanguage, "ill illm interlanguage_link interlanguage_link_multi ilm ill2 interlanguage_link2"),
    **_named(link_helper, "internal_link_helper ilh 内部链接助手 內部連結輔助 internal_link"),
    **_named(position(1), "link-wd link-wikidata link_wikidata liw link-wiki wikidata_link link-interwiki"),
    **_named(
        lambda args, page: linked(
            args.get("zh") or args.at(1), args.get("lang").lower(), args.get("lang_title"), args.get("d")
        ),
        "link-interwiki liw",
    ),
    **_named(nihongo, "nihongo nihongo2 nihongo3 日语 日語 japanese"),
    **_named(jpn, "jpn jap 日文"),
    **_named(kor, "kor korean 韩语 韓語 朝鲜语 朝鮮語 韩文 韓文 lang-ko-hhrm ko-hhrm"),
    **_named(vie, "vie vietnamese 越南语 越南語 lang-vi-hantu"),
    **_named(pronounced, "ipac-en ipac-cmn ipac-yue ipac-de ipac-fr ipac-es ipac-it ipac-pl ipac-ja ipac-pt"),
    **_named(audio, "audio 音频 音頻 listen-inline"),
    **_named(
        position(1),
        """
        nowrap nobr nbr nobreak nowraplinks small smaller smalldiv big bigger larger large huge tiny normal nobold
        noitalic b i u s em
        strong strike del ins strikethrough underline u2 bold italic allcaps smallcaps sc caps sub mono monospace tt
        abbr abbrlink tooltip tipped 提示 注释文字 sic not_a_typo typo as_written proper typo_help
        ipa ipa2 ipalink ipa-all ipaslink ipablink angbr unicode polytonic ime hebrew arabic script_hebrew ar he grc el
        僻字 僻 生僻字 难字 難字 書名 书名 书名号 書名號 专名号 專名號 專名 专名 着重号 着重號 着重 著重 emp 下划线
        楷体 楷體 仿宋
        lj 日本漢字 拼音 pinyin py bopomofo bpmf 注音符号 注音符號 zhuyin tongyong wg wade-giles jyutping 粤拼 粵拼
        poj 白话字 白話字
        flag flagcountry flagteam flagcity flagathlete flag+link flagg flagu flaglink flag2 国旗 國旗 旗帜
        vanchor visible_anchor anchored linktext wiktionary-inline wikt-lang section_link mvar math texmath var serif
        sans-serif
        nts number gaps nums formatprice digits okina hamza ayin
        tl-text chem2 chembox_text hanja hangul xiaozhuan 小篆 甲骨文字 text plain plaintext plain_text nosmall span
        div
        rlh whitelist_link redlink red_link rl nounderlines resize2 no_selflink noselflink samp kbd key button
        keypress key_press 按键 按鍵
        zh-hans zh-hant 简体 簡體 繁体 繁體 古文 文言 文言文 en-icon_text visible 醒目 mark highlight 高亮 hl
        """,
    ),
    **_named(
        position(2),
        """
        transl transliteration rom translit 转写 轉寫 script url-text h:title htitle sort sorttext hsort ipa-zh
        section
        """,
    ),
    **_named(
        last,
        """
        color colour fontcolor font_color font-color color2 颜色 顏色 字体颜色 字體顏色 font fontsize font-size
        font_size fs size resize 字号 字號
        style background_color bgcolor bg background background-color background_box 背景颜色 背景顏色 tq xt
        talkquote text_color textcolor fgcolor
        lang_size larger2 字体 字體 rotate lower raise overline vec border bordered_text 边框 邊框 colorbox-text pad
        padding align
        colored_text color_text colored_link coloredlink 彩色链接 link_color shadow text-shadow transform fontfamily
        font-family
        """,
    ),
    **_named(coded, "code mono-code codes 代码 代碼 source_code inline-code mxt tlcode"),
    **_named(raised, "sup superscript 上标 上標 smallsup"),
    **_named(position(1), "subscript 下标 下標 smallsub"),
    **_named(exponent, "e scinote_e esp"),
    **_named(value, "val scinote value"),
    **_named(lambda args, page: f"10{args.at(1).translate(RAISED)}", "10^ 10e"),
    **_named(fraction, "frac fraction sfrac 分数 分數 1/2frac"),
    **_named(between("√", ""), "sqrt radic 根号 根號"),
    **_named(between("|", "|"), "abs mabs"),
    **_named(joined_by(""), "chem chemical_formula 化学式 化學式 反应式 反應式 equation simplechem ce"),
    **_named(nuclide, "nuclide simplenuclide nuclide2 isotope 核素"),
    **_named(convert, "convert cvt 换算 換算 单位转换 單位轉換 converttext conv"),
    **_named(ruby, "ruby ruby-zh ruby-ja ruby-py 注音 拼音注音 rubyzh ruby-zh-p ruby-zh-b rb-zh furigana 振假名"),
    **_named(
        regional,
        """
        地区用词 地區用詞 地区词 地區詞 地区译名 地區譯名 各地译名 各地譯名 各地用词 各地用詞 用词差异 地区用词2
        地区用語 地區用語
        """,
    ),
    **_named(between("", "美元"), "usd us$ 美元"),
    **_named(between("", "元人民币"), "rmb cny 人民币 人民幣"),
    **_named(between("", "港元"), "hkd hk$ 港元 港币 港幣"),
    **_named(between("", "新台币"), "ntd nt$ twd 新台币 新臺幣 新台幣"),
    **_named(between("", "日元"), "jpy jp¥ 日元 日圆 日圓 yen"),
    **_named(between("", "欧元"), "eur 欧元 歐元"),
    **_named(between("", "英镑"), "gbp 英镑 英鎊"),
    **_named(between("ISBN ", ""), "isbn isbnt"),
    **_named(between("[", "]"), "ipa_bracket"),
    **_named(
        quote,
        """
        quote quotation 引文 引用 引语 引語 blockquote quote2 quotation1 quotation2 引述 block_quotation 引言
        quote_frame bquote 文章引用
        long_quotation longquote blockquotation 原文 quote_text
        """,
    ),
    **_named(
        pulled_quote,
        """
        cquote cquote2 rquote pquote pull_quote pullquote centered_pull_quote quote_box quotebox 名言
        """,
    ),
    **_named(
        poem,
        """
        poem 诗 詩 诗歌 詩歌 poemquote poem_quote verse_translation 诗词 詩詞 verse 歌词 lyrics_block 对联 對聯
        couplet
        """,
    ),
    **_named(
        block,
        """
        center centre left right align_block indent block_indent blockindent 缩进 縮進 div_style columns-list
        columns_list columnslist div_col_list
        colbegin-list multicol-list columns column-list refn-text plainlist flatlist 居中 noindent stack 首行缩进
        """,
    ),
    **_named(items, "ubl unbulleted_list bulleted_list unordered_list ordered_list 列表 plain_list bulleted"),
    **_named(joined_by("、"), "hlist horizontal_list comma_separated_entries cslist 横列 enum 枚举"),
    **_named(folded, "hidden collapse 折叠 折疊 hide collapse_text 隐藏 隱藏"),
    **_named(between("", "", 2), "url-with-text"),
    **_named(lambda args, page: args.at(2) or args.at(1), "url sortname-text official_url weblink"),
    **_named(lambda args, page: f"{args.at(1)}·{args.at(2)}" if args.at(2) else args.at(1), "sortname"),
    **_named(note_ta, "noteta noteta-lite note_ta 全文字词转换 全文轉換"),
    **_named(
        disambiguation,
        """
        disambig disambiguation dab disamb disambiguation_page 消歧义 消歧義 消歧义页 消歧義頁 消歧 消歧义页面
        消歧義頁面 hndis hndab
        geodis 人名消歧义 人名消歧義 地名消歧义 地名消歧義 人物消歧义 人物消歧義 disambig-class letterdisambig
        letter_disambiguation
        letter-numbercombdisambig letter-number_combination_disambiguation numberdis mathdab mathdis schooldis
        roaddis road_disambiguation
        airport_disambig 机场消歧义 機場消歧義 tla_disambig tladisambig 三字母消歧义 三字母消歧義 字母消歧义
        字母消歧義 human_name_disambiguation
        place_name_disambiguation station_disambig 车站消歧义 車站消歧義 school_disambiguation 学校消歧义 學校消歧義
        biology_disambiguation
        species_latin_name_disambiguation hospital_disambiguation call_sign_disambig ship_index 船名消歧义 船名消歧義
        music_disambig
        """,
    ),
    **_named(page_name, "pagename fullpagename basepagename subpagename articlepagename"),
    **_named(always("|"), "! 竖线"),
    **_named(always("="), "= equals"),
    **_named(always("{|"), "(!"),
    **_named(always("|}"), "!)"),
    **_named(always("||"), "!!"),
    **_named(always("|-"), "!-"),
    **_named(always(" "), "nbsp spaces space 空格 nbs sp hair_space thinsp thin_space zwsp zwj wbr"),
    **_named(always(" – "), "snd spnd spaced_ndash spaced_en_dash spndash"),
    **_named(always("–"), "ndash en_dash endash ndsp"),
    **_named(always("—"), "mdash em_dash emdash dash"),
    **_named(always("——"), "-- —— 破折号 破折號"),
    **_named(always("……"), "... …… ellipsis ldots 省略号"),
    **_named(always("·"), "· • dot middot bull bullet interpunct 间隔号 間隔號 ・ dot_separator"),
    **_named(always("\n"), "break br crlf newline 换行 換行 brr"),
    **_named(always("'"), "' apostrophe"),
    **_named(always('"'), "' '' \""),
    **_named(always("†"), "† dagger 已故 kia"),
    **_named(always("‡"), "‡ double-dagger"),
    **_named(always("π"), "pi math/pi"),
    **_named(always("°"), "deg degree"),
    **_named(always("♭"), "flat music/flat"),
    **_named(always("♯"), "sharp music/sharp"),
    **_named(always("男"), "男 male ♂"),
    **_named(always("女"), "女 female ♀"),
    **_named(always("□"), "缺字 □ missing_character"),
    **_named(always("{"), "( lbrace"),
    **_named(always("}"), ") rbrace"),
    **{character: always(character) for character in "江河湖海山州省市县縣区區镇鎮乡鄉村路街站"},
}
COUNTRIES = dict(
    pair.split("=")
    for pair in """
    chn=中国 prc=中国 roc=中华民国 twn=台湾 hkg=香港 mac=澳门 usa=美国 us=美国 gbr=英国 uk=英国 fra=法国 deu=德国
    ger=德国 ita=意大利 esp=西班牙 por=葡萄牙
    ned=荷兰 nld=荷兰 bel=比利时 sui=瑞士 che=瑞士 aut=奥地利 swe=瑞典 nor=挪威 den=丹麦 dnk=丹麦 fin=芬兰 isl=冰岛
    irl=爱尔兰 pol=波兰 cze=捷克 svk=斯洛伐克
    hun=匈牙利 rou=罗马尼亚 bul=保加利亚 gre=希腊 grc=希腊 tur=土耳其 rus=俄罗斯 ukr=乌克兰 blr=白俄罗斯 urs=苏联
    ussr=苏联 jpn=日本 kor=韩国 prk=朝鲜
    ind=印度 pak=巴基斯坦 ban=孟加拉国 sri=斯里兰卡 nep=尼泊尔 tha=泰国 vie=越南 vnm=越南 mas=马来西亚 mys=马来西亚
    sgp=新加坡 sin=新加坡 ina=印度尼西亚
    idn=印度尼西亚 phi=菲律宾 phl=菲律宾 irn=伊朗 irq=伊拉克 isr=以色列 ksa=沙特阿拉伯 egy=埃及 rsa=南非 nga=尼日利亚
    ken=肯尼亚 aus=澳大利亚 nzl=新西兰
    can=加拿大 mex=墨西哥 bra=巴西 arg=阿根廷 chi=智利 chl=智利 col=哥伦比亚 per=秘鲁 uru=乌拉圭 cub=古巴 eu=欧盟
    un=联合国
    """.split()
)
"""{{CHN}} is a flag and the country's name. Languages' templates of the same name, with arguments, come first."""


def find(name: str) -> Handler | None:
    """The handler of a template by its name as written; None if it shows nothing."""
    name = name.strip()
    if name == "BD":
        return life_aside
    name = name.replace("_", " ").lower()
    handler = HANDLERS.get(name)
    if handler is not None:
        return handler
    if name.startswith("lang-"):
        return _lang_code(name[5:])
    if name.startswith("link-"):
        return link_en(name[5:])
    if name.startswith("internal link helper/"):
        return link_en(name[21:])
    if name.startswith(("ipa-", "ipac-")):
        return position(1) if name[3] == "-" else pronounced
    if name in COUNTRIES:
        return always(COUNTRIES[name])
    return None


def _lang_code(code: str) -> Handler:
    return lambda args, page: foreign(code, args.at(1) or args.get("text"), args.at(2) or args.get("translit"))


def _without_prefix(name: str) -> str:
    """{{Template:x}} is {{x}}."""
    prefix, colon, rest = name.partition(":")
    return rest if colon and prefix.strip().lower() in PREFIXES else name


def is_shown(name: str) -> bool:
    """Whether a template of that name may show something."""
    if find(_without_prefix(name)) is not None:
        return True
    return "{" in name or name.partition(":")[0].strip().lower() in FUNCTIONS


def template(content: str, page: Page) -> str:
    """What stands in the text for {{content}}."""
    name = _without_prefix(content.partition("|")[0])
    if name.lstrip().startswith("{"):  # {{{!}} is a brace before a template; a {{{parameter}}} shows nothing
        handler = find(name.lstrip()[1:])
        return "{" + handler(Arguments(content), page) if handler else ""
    if handler := find(name):
        return handler(Arguments(content), page) or HOLE
    function = name.partition(":")[0].strip().lower()
    return conditional(function, content) if function in FUNCTIONS else HOLE


def conditional(name: str, content: str) -> str:
    """{{#if:..|a|b}}, {{#ifeq:..|..|a|b}}, {{lc:..}}: what can be known without running MediaWiki."""
    first, *rest = [part.strip() for part in content.partition(":")[2].split("|")]
    then, otherwise = [*rest, "", ""][:2]
    match name:
        case "#if":
            return then if first else otherwise
        case "#ifeq":
            return [*rest, "", "", ""][1 if first == then else 2]
        case "lc":
            return first.lower()
        case "uc":
            return first.upper()
        case "lcfirst":
            return first[:1].lower() + first[1:]
        case "ucfirst":
            return first[:1].upper() + first[1:]
        case "formatnum":
            return f"{int(first):,}" if first.isdecimal() and len(first) < 40 else first
        case "nowrap" | "plural" | "#language":
            return first
    return ""


FUNCTIONS = frozenset("#if #ifeq lc uc lcfirst ucfirst formatnum #language".split())
PREFIXES = frozenset(("template", "模板", "样板", "樣板", "t", "safesubst", "subst"))
"""Before the colon in a template's name, without changing which it is."""
