from __future__ import annotations

import pytest

from yanmo.text.step import Drop
from yanmo.text.steps.boilerplate import is_boilerplate, without_boilerplate

TEXT = "县里新修的图书馆上月开放，藏书八万册，周末常常坐满了人。\n馆长说，最受欢迎的是儿童阅览室和地方志。"


@pytest.mark.parametrize(
    "line",
    [
        "版权所有 某某网络科技有限公司 2003-2020",
        "Copyright © 2010-2020 某某网 All Rights Reserved",
        "京ICP备12345678号-1 京公网安备11010102000001号",
        "未经本网书面授权，不得转载或镜像",
        "转载请注明出处：某某网",
        "（责任编辑：张三）",
        "责编 | 李四　校对 | 王五",
        "上一篇：如何种好一棵树",
        "下一篇",
        "返回首页",
        "当前位置：首页 > 新闻 > 社会",
        "首页 > 新闻中心 > 正文",
        "点击查看更多>>",
        "【阅读全文】",
        "相关阅读：",
        "**推荐阅读**",
        "登录 | 注册 | 帮助中心",
        "字号：大 中 小"[3:],
        "分享到：微博 微信 QQ空间",
        "↓↓↓长按识别下方二维码，关注我们",
        "扫码关注公众号，领取资料",
        "更多内容请关注公众号：读书时间",
        "点击上方蓝字关注我们",
        "后台回复“资料”即可领取",
        "请加小编微信：abc123，备注读书",
        "点赞、在看、转发，一键三连！",
        "觉得有用的话，点个在看吧",
        "发布时间：2020-03-31 浏览次数：45次",
        "本文来源于网络，版权归原作者所有",
        "如有侵权，请联系我们删除",
        "图片来自网络，侵删",
        "免责声明：本文仅代表作者个人观点，与本站无关。其原创性以及文中陈述文字和内容未经本站证实，请读者仅作参考，"
        "并请自行核实相关内容，版权归作者所有，如有疑问请与本站联系删除。",
    ],
)
def test_lines_of_a_page(line: str) -> None:
    assert is_boilerplate(line)
    assert is_boilerplate(f"【{line}】")


@pytest.mark.parametrize(
    "line",
    [
        "他是一位责任编辑，做了三十年书，经手的稿子有上千种。",
        "著作权法规定，未经著作权人许可复制其作品的，应当承担民事责任，这一条在网络时代有了新的含义和争议，学者看法不一。",
        "二维码由日本的公司在一九九四年发明，最初用来跟踪汽车零件。",
        "微信在二〇一一年推出，公众号是它后来增加的功能。",
        "上一篇文章里的问题，作者在这一篇里作了回答，读者可以对照着看，也可以跳过前面直接读结论，两篇之间的联系并不紧密，所以先读哪一篇都没有关系。"
        "不过前一篇更容易懂一些，因为它从例子讲起。",
        "返回家乡以后，他办起了一所小学。",
        "点击按钮后程序会打开一个窗口",
        "首页的设计决定了读者的第一印象。",
        "公示期内如有异议，请与科技局联系。",
        "大家都说他的声明没有根据。",
        "登录后在设置中选择语言",
        "编辑部在二楼",
    ],
)
def test_lines_of_a_text(line: str) -> None:
    assert not is_boilerplate(line)


def test_lines_are_cut_and_documents_of_little_else_dropped() -> None:
    step = without_boilerplate(0.3)
    assert step(TEXT) == TEXT
    assert step(f"上一篇：无\n{TEXT}\n（责任编辑：张三）") == TEXT
    dropped = step(f"点击查看更多\n{TEXT[:25]}\n扫码关注公众号，领取资料\n版权所有 某某网")
    assert isinstance(dropped, Drop) and dropped.reason == "boilerplate"
    assert isinstance(step("短。\n\n\n返回首页"), Drop)


def test_hard_lines_take_linear_time() -> None:
    for unit in ("版权", "点击", "扫描", "，", "（"):
        for size in (100, 300):
            text = "\n".join([unit * (size // len(unit))] * 2000)
            assert without_boilerplate(0.3)(text) == text
