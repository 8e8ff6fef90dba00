"""Documents full of listed words: gambling, pornography and forged papers on the web, or a user's own list.

One such word is no crime: news, law and encyclopedias have them too. What is dropped is a document of which the
listed words make up more than a share, as pages do that exist to be found by them.
"""

from __future__ import annotations

from yanmo.text.phrases import Phrases
from yanmo.text.step import Drop, Step

SPAM = (
    # gambling
    "百家乐 真人荷官 真人百家乐 博彩平台 博彩网站 博彩公司 线上博彩 网上赌场 线上赌场 赌博网站 澳门赌场 澳门新葡京 威尼斯人娱乐 娱乐城 "
    "娱乐平台注册 棋牌娱乐 棋牌平台 老虎机 时时彩 六合彩 特码 北京赛车 赛车pk10 幸运飞艇 快三计划 彩票计划 计划群 彩金 送彩金 首存 返水 下注 "
    "投注平台 体育投注 足球投注 开户送 注册送 提现秒到 "
    # pornography
    "成人视频 成人电影 成人小说 成人网站 激情视频 激情小说 情色 色情 裸聊 援交 约炮 一夜情 同城交友 上门服务 小姐上门 无码 国产自拍 在线播放 "
    # papers, money, parts that are not for sale
    "办证 刻章 办证刻章 刻章办证 代办文凭 办理文凭 毕业证办理 办理毕业证 假证 代开发票 开发票 普通发票代开 学历代办 套现 信用卡套现 "
    "无抵押贷款 秒下款 黑户贷款 代孕 代孕公司 供卵 私服 传奇私服 外挂 刷单 刷钻 代刷"
).split()
"""Each is harmless in an article; a fiftieth of a page made of them is an advertisement."""


def blocked(words: list[str], limit: float, reason: str) -> Step:
    """Keep documents in which listed words make up no more than `limit` of the characters."""
    phrases = Phrases(words)

    def step(text: str) -> str | Drop:
        found, total = phrases.find(text)
        share = sum(map(len, found)) / max(total, 1)
        if share > limit:
            return Drop(reason, f"{len(found)} listed words, {share:.1%} of the text: {' '.join(found[:5])}")
        return text

    return step
