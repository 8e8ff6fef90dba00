"""Documents full of listed phrases: advertisement, and gambling, pornography and forged papers, or a user's own list.

One such phrase is no crime: news, law and encyclopedias have them too. What is dropped is a document of which the
listed phrases make up more than a share, as pages do that exist to be found by them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from yanmo.text.step import Drop, Step
from yanmo.text.steps.phrases import Phrases

ADVERTISEMENT = (
    "咨询热线 服务热线 全国热线 订购热线 加盟热线 免费热线 招商热线 欢迎来电 来电咨询 欢迎咨询 在线咨询 "
    "免费咨询 点击咨询 立即咨询 立即购买 立即报名 立即抢购 马上抢购 马上领取 免费领取 限时优惠 限时抢购 "
    "限时特价 全场包邮 包邮 厂家直销 厂家批发 量大从优 量大优惠 价格优惠 价格实惠 货到付款 诚招代理 诚邀加盟 "
    "招商加盟 加盟电话 免费试用 免费体验 一对一服务 竭诚为您服务 欢迎新老客户 欢迎广大客户 来电洽谈 洽谈业务 "
    "质优价廉 物美价廉 品质保证 质量保证 信誉第一 客户至上 扫码领取 扫码关注 扫描二维码 加微信 加我微信 "
    "添加微信 长按二维码 点击下方 点击上方 点击蓝字 后台回复 免费送 送好礼 新老顾客 售后无忧 批发代理 厂家报价 "
    "最低价 清仓 秒杀价 拼团价 到手价 领券 "
).split()
"""Phrases of those who sell; 优惠 or 报价 alone are also what the news writes about."""
SPAM = (
    # gambling
    "百家乐 真人荷官 真人百家乐 博彩平台 博彩网站 博彩公司 线上博彩 网上赌场 线上赌场 赌博网站 澳门赌场 "
    "澳门新葡京 威尼斯人娱乐 娱乐城 娱乐平台注册 棋牌娱乐 棋牌平台 老虎机 时时彩 六合彩 特码 北京赛车 赛车pk10 "
    "幸运飞艇 快三计划 彩票计划 计划群 彩金 送彩金 首存 返水 投注平台 体育投注 足球投注 开户送 注册送 "
    "提现秒到 "
    # pornography
    "成人视频 成人电影 成人小说 成人网站 激情视频 激情小说 情色 色情 裸聊 援交 约炮 一夜情 同城交友 "
    "小姐上门 无码 国产自拍 "
    # papers, money, parts that are not for sale
    "办证 刻章 办证刻章 刻章办证 代办文凭 办理文凭 毕业证办理 办理毕业证 假证 代开发票 普通发票代开 "
    "学历代办 套现 信用卡套现 无抵押贷款 秒下款 黑户贷款 代孕 代孕公司 供卵 私服 传奇私服 刷钻 代刷 "
).split()
"""Each is harmless in an article; a fiftieth of a page made of them is spam."""


class Blocklist(NamedTuple):
    reason: str
    phrases: Iterable[str]
    limit: float
    """Largest share of the text's characters in these phrases."""
    fewest: int = 1
    """Fewer phrases are none, however short the text."""


def blocked(lists: list[Blocklist]) -> Step:
    """Keep documents in which the phrases of no list make up more than its limit."""
    phrases = Phrases({listed.reason: listed.phrases for listed in lists})

    def step(text: str) -> str | Drop:
        found, total = phrases.find(text)
        for reason, _, limit, fewest in lists if found else ():
            hits = found.get(reason, [])
            share = sum(map(len, hits)) / max(total, 1)
            if len(hits) >= fewest and share > limit:
                return Drop(reason, f"{len(hits)} phrases, {share:.1%} of the text: {' '.join(hits[:5])}")
        return text

    return step
