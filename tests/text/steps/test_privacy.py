from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanmo.text.steps.markup import plain
from yanmo.text.steps.normalise import normalise
from yanmo.text.steps.privacy import WEIGHTS, is_card, is_identity, luhn, mask_private_data


def identity(first: str) -> str:
    """A citizen's number from its first 17 digits."""
    return first + "10X98765432"[sum(int(digit) * weight for digit, weight in zip(first, WEIGHTS, strict=True)) % 11]


def card(first: str) -> str:
    """A card's number from all but its check digit."""
    return next(first + digit for digit in "0123456789" if luhn(first + digit))


@pytest.mark.parametrize(
    "text, expected",
    [
        ("请打13800138000联系", "请打<电话>联系"),
        ("手机:138-0013-8000，或+86 139 0013 9000。", "手机:<电话>，或<电话>。"),
        ("13800138000、13900139000/13700137000", "<电话>、<电话>/<电话>"),
        ("电话：010-82345678转8001，传真(0571)87654321", "电话：<电话>，传真<电话>"),
        ("（0755）26001234；400-820-8820；客服热线4008208820", "<电话>；<电话>；客服热线<电话>"),
        (f"身份证号{identity('11010519491231002')}。", "身份证号<身份证号>。"),
        ("身份证：110105491231002", "身份证：<身份证号>"),
        (f"卡号：{card('622202123456789012')}（张三）", "卡号：<银行卡号>（张三）"),
        ("账号 4111 1111 1111 1111", "账号 <银行卡号>"),
        ("邮箱zhang.san@qq.com、li_4@mail.bnu.edu.cn。", "邮箱<邮箱>、<邮箱>。"),
        ("QQ：12345678，QQ群 987654321，加qq123456", "QQ：<QQ号>，QQ群 <QQ号>，加qq<QQ号>"),
        ("微信号：zhang_san66；微信:13800138000", "微信号：<微信号>；微信:<微信号>"),
        ("发帖IP：8.8.8.8", "发帖IP：<IP地址>"),
    ],
)
def test_private_data_is_masked(text: str, expected: str) -> None:
    assert mask_private_data(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "1998-2008年，2021-01-01 12:30:00，20080808",
        "售价13800138000元，人口1412000000，13912345678吨",
        "ISBN 978-7-111-54493-7，ISBN 9787111544937，ISSN 1000-1234",
        "订单号：13800138000，快递单号 78307469837466，证书编号：13800138000",
        "统一社会信用代码911101080000000000",
        "https://item.example.cn/13800138000?id=13900139000#13700137000",
        "3.13800138000 1.4142135623730950488 0x13800138000 a13800138000 13800138000b",
        "2^13800138000 = x, 13800138000*2, n=13800138000",
        "1234567890123456 1111111111111111111 123456789012345",
        "19912345678901234567890123",
        "(2019)12345678号，(010)，0571-abc，第010-020页",
        "git@github.com:a/b.git logo@2x.png you@example.com @Override user@localhost",
        "QQ2010版，QQ音乐，腾讯QQ 10000元，微信 Android 版，微信支付",
        "192.168.1.1 版本1.2.3.4 IP：127.0.0.1 IP地址：256.1.1.1",
        "11010519491231002" + "0" if identity("11010519491231002")[-1] != "0" else "",
    ],
)
def test_other_numbers_survive(text: str) -> None:
    assert mask_private_data(text) == text


def test_check_digits() -> None:
    """The example in GB 11643-1999, and cards off by one."""
    assert is_identity("11010519491231002X") and is_identity("440524188001010014")
    assert not is_identity("110105194912310021") and not is_identity(identity("11010519491331002"))
    assert not is_identity(identity("99010519491231002"))
    number = card("622848001234567891")
    assert is_card(number, said=False)
    assert not is_card(number[:-1] + str((int(number[-1]) + 1) % 10), said=True)
    assert is_card("4111111111111111", said=True) and not is_card("4111111111111111", said=False)


@given(st.text("0123456789-+( ）X.@aQq：微信号/中元", max_size=60))
def test_twice_is_once_and_masks_are_text(text: str) -> None:
    once = mask_private_data(text)
    assert mask_private_data(once) == once
    assert plain("<电话><邮箱>") == "<电话><邮箱>" == normalise("<电话><邮箱>")


def test_long_runs_take_linear_time() -> None:
    for unit in ("1", "1-", "a@", "a.", "(0"):
        mask_private_data(unit * 200_000)
