"""Private data masked: telephone numbers, identity cards, bank cards, e-mail, QQ and WeChat accounts, IP addresses.

A mask is a word in angle brackets, `<电话>`: ordinary text that says what stood there, no control token, and
left alone by every other step. Precision comes first, because years, prices, order numbers, ISBN, code and
formulas are made of the same digits: a number must stand by itself, have the length and the prefix of its
kind, and pass what can be computed (date and check digit of GB 11643, Luhn of ISO/IEC 7812); what has no such
mark of its own (QQ numbers, old identity cards) is masked only beside the word that names it.
"""

from __future__ import annotations

import ipaddress
import re
from datetime import date

TELEPHONE, IDENTITY, CARD, EMAIL = "<电话>", "<身份证号>", "<银行卡号>", "<邮箱>"
QQ, WECHAT, ADDRESS = "<QQ号>", "<微信号>", "<IP地址>"

DIGITS = re.compile("[0-9+(（][-0-9 +()（）—－]{5,}[0-9Xx]")
"""Where numbers may be: nearly every text without private ones is told by this alone, at the speed of a scan."""
AREA = "0(?:10|2[0-57-9]|[3-9][0-9]{2})"
NUMBER = re.compile(
    r"(?<![0-9A-Za-z_.\\=&?#%$¥￥€£@*^+~-])(?<![^0-9]/)(?:"
    r"(?P<long>[1-9][0-9]{14,18}[0-9Xx]|[1-9][0-9]{14})"
    r"|(?P<grouped>[3-6][0-9]{3}(?:[ -][0-9]{4}){3}(?:[ -][0-9]{1,3})?)"
    r"|(?P<mobile>(?:(?:\+|00)?86[ -]?)?1[3-9][0-9](?:[0-9]{8}|(?P<gap>[ -])[0-9]{4}(?P=gap)[0-9]{4}))"
    rf"|(?P<landline>(?:(?:\+|00)?86[ -]?)?(?:{AREA}[ —－-]{{1,2}}|[(（]{AREA}[)）][ -]?)[2-8][0-9]{{6,7}}"
    r"(?:(?:-|转|转分机)[0-9]{1,5})?)"
    r"|(?P<service>[48]00(?:-[0-9]{3}-?[0-9]{4}|-[0-9]{4}-?[0-9]{3}|[0-9]{7}))"
    r")(?![0-9A-Za-z_@%=*^]|[.-][0-9]|[ ]?(?:元|万|亿|美元|人民币|吨|千克|公斤|公里|米|平方|字节|年))"
)
COUNTRY = re.compile(r"^(?:\+|00)?86[ -]?")
MOBILE = re.compile("1(?:3[0-9]|4[014-9]|5[0-35-9]|6[25-7]|7[0-8]|8[0-9]|9[0-35-9])")
"""Prefixes given out by the ministry (工业和信息化部) to mobile networks."""
EXTENSION = 12
"""Characters after a run of digits that may belong to it (转8001) or say what it is (元)."""
BEFORE = 16
"""Characters before a number that may say what it is."""
SAID_IDENTITY = re.compile("身份证|证件号|公民身份")
SAID_CARD = re.compile("卡号|银行|信用卡|储蓄卡|账号|帐号|账户|帐户|户名")
SAID_TELEPHONE = re.compile("电话|热线|手机|客服|咨询|传真|拨打|致电|联系|Tel|TEL|tel")
SAID_OTHER = re.compile(
    "(?:ISBN|ISSN|编号|单号|订单|批号|货号|型号|条码|序列|流水|文号|信用代码|注册号|学号|专利)[^0-9]{0,6}$"
)
"""What stands before numbers that are no telephone."""
PROVINCES = frozenset(
    map(int, "11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 50 51 52 53 54 61 62 63 64 65".split())
) | {71, 81, 82, 83, 91}
WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)

MAIL_NAME = re.compile("(?<![A-Za-z0-9._%+/:-])[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}$")
MAIL_DOMAIN = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9-]{0,62}\.){1,4}[A-Za-z]{2,10}(?![A-Za-z0-9:/-])")
NO_MAIL = frozenset("png jpg jpeg gif svg webp js css py html local test example".split())
"""Ends of file names (logo@2x.png) and domains reserved for examples (RFC 2606)."""
QQ_SIGNS = "Qq扣鹅群"
"""Characters without one of which the pattern below cannot match; to look for one takes a tenth of a microsecond."""
QQ_NUMBER = re.compile(
    "((?:QQ|qq|Qq|扣扣|企鹅|[Qq]群|交流群|微信群)(?:群号|群|号码|号|咨询|客服|在线)?[ ]?(?:[:：]|是|为)?[ ]?)"
    "[1-9][0-9]{4,11}(?![0-9A-Za-z.]|年|元|万)"
)
WECHAT_SIGNS = "微薇VxW"
WECHAT_ID = re.compile(
    "((?:微信|薇信|V信|VX|vx|Vx|WeChat|Wechat)[ ]?(?:号|ID|id|账号|帐号|公众号|客服)?[ ]?"
    "(?:[:：]|是|为)[ ]?)(?:[A-Za-z][A-Za-z0-9_-]{5,19}|1[3-9][0-9]{9})(?![A-Za-z0-9_-])"
)
IP = re.compile(
    r"((?:IP|ip|Ip)(?:地址|址|属地)?[ ]?(?:[:：]|是|为)?[ ]?)((?:[0-9]{1,3}\.){3}[0-9]{1,3})(?![0-9.]|:[0-9])"
)


def mask_private_data(text: str) -> str:
    """The text with private data masked."""
    if "@" in text:
        text = _without_mail(text)
    # Accounts before telephones: a WeChat account is often a mobile number.
    if any(sign in text for sign in QQ_SIGNS):
        text = QQ_NUMBER.sub(rf"\1{QQ}", text)
    if any(sign in text for sign in WECHAT_SIGNS):
        text = WECHAT_ID.sub(rf"\1{WECHAT}", text)
    if "IP" in text or "ip" in text:
        text = IP.sub(_address, text)
    return _without_numbers(text)


def _without_mail(text: str) -> str:
    parts, done, at = [], 0, text.find("@")
    while at >= 0:
        domain = MAIL_DOMAIN.match(text, at + 1)
        name = MAIL_NAME.search(text[max(done, at - 66) : at]) if domain else None
        if domain and name and name[0] != "git":  # git@host:path is an address of a repository
            *_, above, top = domain[0].lower().split(".")
            if top not in NO_MAIL and above != "example":
                parts += [text[done : at - len(name[0])], EMAIL]
                done = domain.end()
        at = text.find("@", at + 1)
    return "".join([*parts, text[done:]]) if parts else text


def _without_numbers(text: str) -> str:
    parts, done = [], 0
    for digits in DIGITS.finditer(text):
        for match in NUMBER.finditer(text, max(digits.start(), done), digits.end() + EXTENSION):
            mask = _mask(match) if match.start() < digits.end() else None  # beyond it, the end is not seen
            if mask is not None:
                parts += [text[done : match.start()], mask]
                done = match.end()
    return "".join([*parts, text[done:]]) if parts else text


def _mask(match: re.Match[str]) -> str | None:
    """What stands for a number; None if it is none that is private."""
    raw = match[0]
    before = match.string[max(match.start() - BEFORE, 0) : match.start()]
    if match["long"]:
        if is_identity(raw) or (SAID_IDENTITY.search(before) and is_old_identity(raw)):
            return IDENTITY
        return CARD if is_card(raw, bool(SAID_CARD.search(before))) and not SAID_OTHER.search(before) else None
    if SAID_OTHER.search(before):
        return None
    if match["grouped"]:
        return CARD if is_card(re.sub("[ -]", "", raw), True) else None
    if match["service"] and "-" not in raw and not SAID_TELEPHONE.search(before):
        return None
    if match["mobile"] and not MOBILE.match(COUNTRY.sub("", raw)):
        return None
    return TELEPHONE


def is_identity(number: str) -> bool:
    """A citizen's number of 18 digits (GB 11643-1999): province, date of birth, check digit modulo 11-2."""
    if len(number) != 18 or not number[:17].isdigit() or int(number[:2]) not in PROVINCES:
        return False
    total = sum(int(digit) * weight for digit, weight in zip(number[:17], WEIGHTS, strict=True))
    return number[17].upper() == "10X98765432"[total % 11] and is_birth(number[6:14])


def is_old_identity(number: str) -> bool:
    """A citizen's number of 15 digits (GB 11643-1989), given out until 1999: no check digit."""
    return len(number) == 15 and int(number[:2]) in PROVINCES and is_birth("19" + number[6:12])


def is_birth(digits: str) -> bool:
    try:
        return 1850 <= date(int(digits[:4]), int(digits[4:6]), int(digits[6:])).year <= 2100
    except ValueError:
        return False


def is_card(number: str, said: bool) -> bool:
    """A bank card: UnionPay's 62 of 16 to 19 digits; other brands only where `said`, for one in ten random numbers
    passes Luhn's test."""
    if not number.isdigit() or not luhn(number):
        return False
    if number.startswith("62") and 16 <= len(number) <= 19:
        return True
    brands = number[0] == "4" or 51 <= int(number[:2]) <= 55 or 2221 <= int(number[:4]) <= 2720 or number[:2] == "35"
    return said and (
        (len(number) == 16 and brands)
        or (len(number) == 15 and number[:2] in ("34", "37"))
        or (len(number) == 19 and number[:4] == "9558")
    )


def luhn(number: str) -> bool:
    """The check digit of ISO/IEC 7812-1, annex B."""
    total = 0
    for place, digit in enumerate(reversed(number)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _address(match: re.Match[str]) -> str:
    try:
        address = ipaddress.IPv4Address(match[2])
    except ValueError:
        return match[0]
    return match[1] + ADDRESS if address.is_global else match[0]
