"""Lines that belong to a page and not to its text are cut out; a document of little else is dropped.

A line goes only as a whole, only if it is short and says nothing else: 版权所有, 责任编辑, 上一篇, 扫码关注. A pattern
must match the whole line, and its gaps are bounded, so that a line costs no more than its length. An article about
copyright or WeChat has these words within longer lines and keeps them.
"""

from __future__ import annotations

import re

from yanmo.text.step import Drop, Step

LONGEST_LINE = 100
LONGEST_DISCLAIMER = 300
MEANINGFUL = 30
"""A shorter remainder is no text any more, whatever the share that was cut."""

EDITORS = (
    "责任编辑|责编|网络编辑|实习编辑|见习编辑|值班编辑|本期编辑|本文编辑|执行编辑|文字编辑|微信编辑|新媒体编辑|编辑|编校|校对|初审|复审|终审|一审|二审"
    "|三审|审核|审校|监审|签发|美编|排版|投稿邮箱|投稿热线|新闻热线|报料热线|爆料热线"
)
WHOLE_LINES = (
    # whose it is
    r"(?:Copyright|COPYRIGHT|copyright|©|c\)).{0,90}",
    # who edited it
    rf"(?:{EDITORS})[ 　]{{0,4}}[:：|丨/].{{0,40}}",
    # where else to go
    r"(?:[上下]一[篇页章条]|[前后]一篇)(?:(?:[:：>».]|文章|新闻).{0,80})?",
    r"(?:返回|回到|跳转)(?:首页|顶部|列表|目录|上一页|上一级|栏目|网站首页).{0,10}",
    r"(?:您|你)?(?:现在|当前|所在)?的?位置[:：].{0,60}",
    r"(?:首页|网站首页|主页)[ 　]{0,3}(?:[>»|/-]|›|→).{0,80}",
    r"请?(?:点击|点此|单击|戳|轻触|点|点我)?(?:这里|此处|下方|展开)?(?:查看|阅读|浏览|展开|显示|收起|加载|了解)"
    r"(?:更多|全文|原文|全部|详情|剩余|余下).{0,12}",
    r"(?:相关|推荐|热门|延伸|拓展|扩展|精彩|往期|猜你|编辑|为您|最新|更多)"
    r"(?:阅读|文章|推荐|新闻|链接|资讯|标签|喜欢|回顾|精选|专题|内容|荐文|报道)[ 　]{0,2}[:：]?.{0,3}",
    r"(?:加入收藏|设为首页|收藏本[页站]|打印本页|打印|关闭窗口|关闭|字号|字体|繁体|简体|登录|注册|免费注册|忘记密码|搜索|网站地图|联系我们"
    r"|关于我们|友情链接|帮助中心|意见反馈)(?:[ 　|/、·•-]{1,3}[^ 　|/、·•-]{1,10}){0,12}",
    r"[大中小](?:[ 　|/]{1,3}[大中小]){1,2}.{0,10}",
    r"分享(?:到|至|给|一下|文章|本文).{0,40}",
    # what to do with the telephone
    r"请?(?:点击|点|戳|轻触)(?:图片|标题下|链接|小程序|卡片|名片).{0,40}",
    r"后台回复.{0,50}|(?:公众号|评论区|对话框|私信)?回复(?:关键词|关键字|数字|[“\"「【➣]|暗号).{0,60}",
    r"(?:点赞|点个赞|在看|点个在看|转发|分享|收藏|一键三连)"
    r"(?:[+＋、，,和及与 ]{1,3}(?:点赞|点个赞|在看|“在看”|转发|分享|收藏|关注|评论|留言|投币)){1,4}.{0,20}",
    # who is not to blame
    r"(?:本文|文章|图片|图文|部分图片|素材|部分素材|内容|部分内容|文中图片|以上内容|视频|资料|封面图|配图|图)部?分?均?"
    r"(?:来源|来自|源自|源于|转自|转载自|取自|摘自|综合自|整理自)于?自?.{0,8}(?:网络|互联网|网上).{0,80}",
)
"""What a line may say and nothing else to be boilerplate, apart from AROUND."""
WITHIN_LINES = {
    "版权|ights|保留所有": r".{0,40}(?:版权所有|All [Rr]ights [Rr]eserved|保留所有权利|版权归.{1,20}所有).{0,50}",
    "ICP|公网安备|许可证": r".{0,30}(?:ICP[备证]|公网安备|(?:电信业务经营|网络文化经营|新闻信息服务)许可证).{0,50}",
    "未经": r".{0,20}未经.{0,12}(?:许可|授权|允许|同意).{0,10}(?:不得|禁止|请勿|严禁|谢绝|任何)"
    r".{0,16}(?:转载|复制|使用|镜像|摘编|传播).{0,30}",
    "转载|引用|转发": r".{0,20}(?:转载|引用|转发)(?:本文)?(?:请|须|需|时请|务必)(?:注明|标明|保留|联系|获得).{0,50}",
    "扫码|扫描|扫一扫|微信扫|长按|识别": r".{0,30}(?:扫码|扫描|扫一扫|长按|识别|微信扫).{0,16}"
    r"(?:二维码|关注|加入|进群|入群|领取|下载|小程序|添加|咨询|报名|观看).{0,40}",
    "关注|订阅|搜索|置顶|星标": r".{0,12}(?:关注|订阅|搜索|置顶|星标).{0,16}"
    r"(?:公众号|公号|微信号|视频号|抖音号|订阅号|服务号|头条号|官微|官方微信|微信平台).{0,40}",
    "点击|[点戳][上下左右蓝文底阅“]|轻触": r".{0,12}(?:点击|点|戳|轻触)"
    r"(?:上方|下方|上面|下面|左下角|右上角|右下角|蓝字|蓝色|文末|底部|[“\"]?阅读原文).{0,40}",
    "微信|VX|vx|V信|QQ|企鹅": r".{0,12}(?:添加|加|咨询)(?:客服|老师|小编|助理|顾问|助教)?"
    r"(?:微信|VX|vx|V信|QQ|企鹅群).{0,50}",
    "点个|点一下|点亮|请点|戳个|给个": r".{0,16}(?:点个|点一下|点亮|请点|戳个|给个)[“\"「]?"
    r"(?:赞|在看|好看|关注|小红心|大拇指).{0,20}",
    "浏览|阅读|访问|人气|围观": r".{0,40}(?:浏览|阅读|访问|人气|围观)(?:次数|量|数|人数)?"
    r"[ 　]{0,2}[:：(（][ 　]{0,2}[0-9]{1,9}.{0,40}",
    "侵|版权|违者": r".{0,20}(?:侵删|侵权必究|侵权删除|侵权即删|侵删致歉|违者必究).{0,12}"
    r"|.{0,30}如?若?(?:如有|若有|如果|如|若).{0,8}(?:侵权|侵犯|版权问题).{0,40}(?:联系|告知|删除|处理|删|通知).{0,40}",
}
"""A word without which a line cannot match -> what it may consist of. The word is looked for first: it is cheap."""
AROUND = "（）()【】[]「」*#<>◆▲▼■●★☆→►▶√➣←◄◀↑↓△▽ 　。！!~.,，:：»|-"
"""Brackets, arrows and marks that may stand around it."""
WHOLE = re.compile("|".join(WHOLE_LINES))
WORD = re.compile("|".join(WITHIN_LINES))
WITHIN = re.compile("|".join(WITHIN_LINES.values()))
DISCLAIMER = re.compile(
    r"(?:免责声明|特别声明|版权声明|郑重声明|声明|版权说明|温馨提示)[】）)*]{0,3}[:：]"
    r"(?=.{0,250}(?:转载|版权|侵权|立场|观点|来源|投资建议|删除)).{0,290}"
)


def without_boilerplate(limit: float) -> Step:
    """Cut lines of boilerplate out; a document of which they are more than `limit` is dropped."""

    def step(text: str) -> str | Drop:
        lines = text.split("\n")
        kept = [line for line in lines if not is_boilerplate(line)]
        if len(kept) == len(lines):
            return text
        size = sum(len(line) for line in kept)
        cut = sum(len(line) for line in lines) - size
        if cut > limit * (cut + size) or size < MEANINGFUL:
            return Drop("boilerplate", f"{cut} of {cut + size} characters are lines of boilerplate")
        return "\n".join(kept)

    return step


def is_boilerplate(line: str) -> bool:
    """Whether the line, all of it, is boilerplate."""
    if len(line) > LONGEST_DISCLAIMER:
        return False
    said = line.strip(AROUND)
    if ("声明" in said or "提示" in said) and DISCLAIMER.fullmatch(said):
        return True
    if len(said) > LONGEST_LINE:
        return False
    return bool(WHOLE.fullmatch(said) or (WORD.search(said) and WITHIN.fullmatch(said)))
