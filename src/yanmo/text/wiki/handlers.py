"""What templates show: a function for each kind, from a template's arguments to the text that readers see.

Output is simplified Chinese where zhwiki's own templates write words (英语：, 截至).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import date

from yanmo.text.steps.simplify import KEEP, KEPT
from yanmo.text.wiki.conversion import Rule
from yanmo.text.wiki.languages import NAMES
from yanmo.text.wiki.page import ASIDE, Page, kept


class Arguments:
    """A template's arguments, stripped; `first(2)` is that of {{name|1|2|key=value}}."""

    def __init__(self, content: str):
        self.named: dict[str, str] = {}
        self.positional: list[str] = []
        for argument in content.split("|")[1:]:
            key, equals, value = argument.partition("=")
            if not equals:
                self.positional.append(argument.strip())
                continue
            key, value = key.strip(), value.strip()
            if key.isdecimal() and 0 < int(key[:4]) <= len(self.positional) + MAX_GAP:
                number = int(key[:4])
                self.positional += [""] * (number - len(self.positional))
                self.positional[number - 1] = value
            else:
                self.named[key.lower()] = value

    def at(self, number: int) -> str:
        """The positional argument of that number, from 1; empty if there is none."""
        return self.positional[number - 1] if number <= len(self.positional) else ""

    def get(self, *keys: str) -> str:
        """The first of the named arguments that is given."""
        return next((self.named[key] for key in keys if self.named.get(key)), "")

    def last(self) -> str:
        return next((argument for argument in reversed(self.positional) if argument), "")


Handler = Callable[[Arguments, Page], str]
MAX_GAP = 100
"""{{x|100=a}} may leave arguments out; {{x|9999=a}} is no list."""
HAN = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")


# Dates


def life(args: Arguments, page: Page) -> str:
    """{{bd|1893年|12月26日|1976年|9月9日|catIdx=M}}, {{生卒|...}}: 1893年12月26日—1976年9月9日."""
    birth = args.at(1) + args.at(2)
    death = args.at(3) + args.at(4)
    return f"{birth}—{death}" if birth or death else ""


def life_aside(args: Arguments, page: Page) -> str:
    """{{BD|1893年|12月26日|1976年|9月9日}}: in capitals it brings its brackets, but many write more around it."""
    dates = life(args, page)
    return f"{ASIDE}{dates}{ASIDE}" if dates else ""


def day(args: Arguments, page: Page) -> str:
    """{{birth date|1893|12|26|df=y}}, {{start date|2008|8}}, {{birth-date|1990年5月1日}}."""
    return _day(args.positional[:3])


def day_of_death(args: Arguments, page: Page) -> str:
    """{{death date and age|1976|9|9|1893|12|26}}: 1976年9月9日（82岁）."""
    died, age = _day(args.positional[:3]), _age(args.positional[3:6], args.positional[:3])
    return f"{died}（{age}岁）" if died and age else died


def year(args: Arguments, page: Page) -> str:
    """{{birth year and age|1950}}, {{death year and age|1976|1893}}: the year."""
    return _day(args.positional[:1])


def age(args: Arguments, page: Page) -> str:
    """{{age|1893|12|26|1976|9|9}}; without a second date it depends on today, which no text should."""
    return _age(args.positional[:3], args.positional[3:6])


def as_of(args: Arguments, page: Page) -> str:
    return args.get("alt") or f"截至{_day(args.positional[:3])}"


def circa(args: Arguments, page: Page) -> str:
    return f"约{args.at(1)}" + (f"—{args.at(2)}" if args.at(2) else "")


def reign(args: Arguments, page: Page) -> str:
    return f"{args.at(1)}—{args.at(2)}在位"


def _day(parts: Iterable[str]) -> str:
    """Year, month and day, each a number or already with its 年, 月, 日; or one date in words."""
    return "".join(part + unit if part.isdecimal() else part for part, unit in zip(parts, "年月日", strict=False))


def _age(birth: list[str], end: list[str]) -> str:
    try:
        # int() also reads 12月 without its unit
        first, last = ([int(part.rstrip("年月日")) for part in parts] for parts in (birth, end))
        born, ended = date(*first), date(*last)
    except (ValueError, TypeError, OverflowError):
        return ""
    years = ended.year - born.year - ((ended.month, ended.day) < (born.month, born.day))
    return str(years) if years >= 0 else ""


# Languages


def foreign(code: str, text: str, romanised: str) -> str:
    """英语：George Washington, as {{lang-en}} and {{langx|en}} show it."""
    if not text:
        return ""
    name = NAMES.get(code) or NAMES.get(code.partition("-")[0])
    if name and code.startswith("zh-"):
        name = None
    shown = kept(text) if code[:2] in ("ja", "ko", "vi") else text  # their characters are not ours
    return (f"{name}：" if name else "") + shown + (f"，罗马化：{romanised}" if romanised else "")


def langx(args: Arguments, page: Page) -> str:
    return foreign(args.at(1).lower(), args.at(2) or args.get("text"), args.at(3) or args.get("translit"))


def lang(args: Arguments, page: Page) -> str:
    """{{lang|ja|日本}}: the text alone."""
    text = args.at(2) or args.get("text")
    return kept(text) if args.at(1).lower()[:2] in ("ja", "ko", "vi") else text


def linked(local: str, code: str, title: str, shown: str = "") -> str:
    """A red link with the foreign article beside it, as readers see it: 约翰（英语：John）."""
    text = shown or local
    if not title or title == text:
        return text
    if not text:
        return title
    name = NAMES.get(code) or NAMES.get(code.partition("-")[0])
    return f"{text}（{name}：{title}）" if name else text


def link_en(code: str) -> Handler:
    """{{link-en|本地|English|显示}}, {{le|...}}."""
    return lambda args, page: linked(args.at(1), code, args.at(2), args.at(3))


def translink(args: Arguments, page: Page) -> str:
    """{{tsl|en|English|本地|显示}}."""
    return linked(args.at(3), args.at(1).lower(), args.at(2), args.at(4))


def interlanguage(args: Arguments, page: Page) -> str:
    """{{ill|本地|en|English|lt=显示}}; also with the language first."""
    first, second, third = args.at(1), args.at(2), args.at(3)
    shown = args.get("lt", "d", "display")
    if first.lower() in NAMES and second:
        local, title = (second, third) if HAN.search(second) or not third else (third, second)
        return linked(local, first.lower(), title, shown)
    return linked(first, second.lower(), third, shown)


def link_helper(args: Arguments, page: Page) -> str:
    """{{internal link helper|本地|English|lang-code=en|d=显示}} and its forms for one language."""
    return linked(args.at(1), args.get("lang-code").lower(), args.at(2), args.get("d", "display") or args.at(3))


def nihongo(args: Arguments, page: Page) -> str:
    """{{nihongo|译名|原文|romaji|说明}}: 译名（原文，romaji，说明）."""
    aside = "，".join(part for part in (kept(args.at(2)), args.at(3), args.at(4)) if part)
    return f"{args.at(1)}（{aside}）" if aside and args.at(1) else args.at(1) or aside


def jpn(args: Arguments, page: Page) -> str:
    """{{jpn|j=日本|hg=にほん|rm=Nihon}}."""
    written, kana, romaji = args.get("j", "k"), args.get("hg", "kk", "kana"), args.get("rm", "r")
    parts = [f"日语：{kept(written)}" if written else "", f"假名：{kana}" if kana else ""]
    return "，".join([part for part in (*parts, f"罗马字：{romaji}" if romaji else "") if part])


def kor(args: Arguments, page: Page) -> str:
    """{{kor|k=한국|h=韓國|rr=Hanguk}}."""
    written, hanja = args.get("k", "hangul") or args.at(1), args.get("h", "hanja") or args.at(2)
    parts = [f"朝鲜语：{written}" if written else "", f"汉字：{kept(hanja)}" if hanja else ""]
    roman = args.get("rr", "mr", "rm")
    return "，".join([part for part in (*parts, f"罗马字：{roman}" if roman else "") if part])


def vie(args: Arguments, page: Page) -> str:
    """{{vie|v=Việt Nam|hn=越南}}."""
    written, han = args.get("v", "qn") or args.at(1), args.get("hn", "cn", "h") or args.at(2)
    parts = [f"越南语：{written}" if written else "", f"汉字：{kept(han)}" if han else ""]
    return "，".join([part for part in parts if part])


def pronounced(args: Arguments, page: Page) -> str:
    """{{IPAc-en|ˈ|l|ʌ|n|d|ən}}: /ˈlʌndən/. Words among the arguments name the accent."""
    sounds = [part for part in args.positional if part and part.lower() not in ACCENTS and not part.endswith(".ogg")]
    return f"/{''.join(sounds)}/" if sounds else ""


def audio(args: Arguments, page: Page) -> str:
    """{{audio|File.ogg|text}}, unless the text only says what the button does."""
    return "" if args.at(2).strip("：: ").lower() in LISTEN else args.at(2)


ACCENTS = frozenset("lang pron uk us gb au nz ca audio also or local en all ipa 发音 發音".split())
LISTEN = frozenset("聆听 聆聽 收听 收聽 播放 发音 發音 帮助 幫助 听 聽 listen play help info pronunciation".split())


# Words in a sentence


def position(number: int) -> Handler:
    """The argument of that number, or the first if it is not given."""
    return lambda args, page: args.at(number) or args.at(1) or args.get("text", "content", "1")


def last(args: Arguments, page: Page) -> str:
    """{{color|red|文字}}, {{font|size=2|文字}}: what is styled comes last."""
    return args.last() or args.get("text", "content", "t")


def coded(args: Arguments, page: Page) -> str:
    return kept((args.last() or args.get("code", "text")).replace(KEEP, "").replace(KEPT, ""))


def always(text: str) -> Handler:
    return lambda args, page: text


def between(before: str, after: str, number: int = 1) -> Handler:
    """The argument between two texts: {{USD|5}} is 5美元."""
    return lambda args, page: f"{before}{args.at(number)}{after}" if args.at(number) else ""


def raised(args: Arguments, page: Page) -> str:
    text = args.at(1)
    return text.translate(RAISED) if text.strip(RAISABLE) == "" else text


def exponent(args: Arguments, page: Page) -> str:
    return f"×10{args.at(1).translate(RAISED)}" if args.at(1) else ""


def value(args: Arguments, page: Page) -> str:
    """{{val|1.2|e=5|u=m}}: 1.2×10⁵ m."""
    power = args.get("e")
    unit = args.get("u", "ul")
    margin = f"±{args.at(2)}" if args.at(2) else ""
    return args.at(1) + margin + (f"×10{power.translate(RAISED)}" if power else "") + (f" {unit}" if unit else "")


RAISABLE = "0123456789+−–-"
RAISED = str.maketrans(RAISABLE, "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁻")


def joined_by(separator: str) -> Handler:
    return lambda args, page: separator.join([part for part in args.positional if part])


def ruby(args: Arguments, page: Page) -> str:
    return f"{args.at(1)}（{args.at(2)}）" if args.at(1) and args.at(2) else args.at(1)


def regional(args: Arguments, page: Page) -> str:
    """{{地区用词|cn=出租车|tw=計程車|hk=cn}}: what each region says, in its own characters; hk=cn is "as in cn"."""
    regions: dict[str, list[str]] = {}
    for key, word in args.named.items():
        word = _bare(args.named.get(word, word))
        if word:
            regions.setdefault(word, []).append(REGIONS.get(key, key))
    said = [f"{'、'.join(where)}作“{kept(word)}”" for word, where in regions.items()]
    return "，".join(said) or "、".join([part for part in args.positional if part])


def _bare(text: str) -> str:
    return text.replace(KEEP, "").replace(KEPT, "")


REGIONS = {
    **dict.fromkeys("cn zh-cn 中国大陆 中國大陸 大陆 大陸 中国 中國".split(), "中国大陆"),
    **dict.fromkeys("tw zh-tw 台湾 台灣 臺灣".split(), "台湾"),
    **dict.fromkeys("hk zh-hk 香港".split(), "香港"),
    **dict.fromkeys("mo zh-mo 澳门 澳門".split(), "澳门"),
    **dict.fromkeys("hkmo 港澳".split(), "港澳"),
    **dict.fromkeys("sg zh-sg 新加坡".split(), "新加坡"),
    **dict.fromkeys("my zh-my 马来西亚 馬來西亞".split(), "马来西亚"),
    **dict.fromkeys("sgmy 星马 星馬 新马 新馬 马新 馬新".split(), "新马"),
    **dict.fromkeys("hans zh-hans 简体 簡體".split(), "简体"),
    **dict.fromkeys("hant zh-hant 繁体 繁體".split(), "繁体"),
}


def fraction(args: Arguments, page: Page) -> str:
    """{{frac|1|2}} is 1/2, {{frac|3|1|2}} is 3+1/2, {{frac|2}} is 1/2."""
    match args.positional[:3]:
        case [whole, top, bottom]:
            return f"{whole}+{top}/{bottom}"
        case [top, bottom]:
            return f"{top}/{bottom}"
        case [bottom]:
            return f"1/{bottom}"
    return ""


def nuclide(args: Arguments, page: Page) -> str:
    """{{nuclide|U|235}}, also by its Chinese name: U-235."""
    return "-".join([part for part in args.positional[:2] if part])


def convert(args: Arguments, page: Page) -> str:
    """{{convert|3|to|5|km|mi}}: the measure as given, 3至5千米; what the module computes is left out."""
    shown = []
    for part in args.positional:
        if part in JOINTS:
            shown.append(JOINTS[part])
        elif part[:1].isdecimal() or part[:1] in ("-", "−", "+", ".", "约"):
            shown.append(part)
        else:
            return "".join(shown) + UNITS.get(part, f" {part}" if part else "")
    return "".join(shown)


JOINTS = {
    "to": "至",
    "-": "–",
    "–": "–",
    "and": "和",
    "or": "或",
    "by": "×",
    "x": "×",
    "×": "×",
    "to(-)": "至",
    "+/-": "±",
}
UNITS = dict(
    pair.split("=")
    for pair in """
    km=千米 m=米 cm=厘米 mm=毫米 nm=纳米 mi=英里 mile=英里 ft=英尺 foot=英尺 feet=英尺 in=英寸 inch=英寸 yd=码
    nmi=海里 au=天文单位 ly=光年 pc=秒差距
    km2=平方千米 sqkm=平方千米 m2=平方米 sqm=平方米 cm2=平方厘米 ha=公顷 hectare=公顷 acre=英亩 acres=英亩
    sqmi=平方英里
    mi2=平方英里 sqft=平方英尺 ft2=平方英尺 km3=立方千米 m3=立方米 cm3=立方厘米 l=升 L=升 ml=毫升 mL=毫升
    usgal=美制加仑 impgal=英制加仑 cuft=立方英尺
    kg=千克 g=克 mg=毫克 t=吨 tonne=吨 tonnes=吨 lb=磅 lbs=磅 oz=盎司 st=英石 LT=长吨 ST=短吨 C=℃ °C=℃ F=℉ °F=℉ K=K
    km/h=千米每小时 kph=千米每小时
    mph=英里每小时 kn=节 knot=节 m/s=米每秒 hp=马力 PS=公制马力 kW=千瓦 MW=兆瓦 GW=吉瓦 W=瓦 kWh=千瓦时 Pa=帕
    kPa=千帕 MPa=兆帕 hPa=百帕 atm=大气压 bar=巴
    psi=psi N=牛 kN=千牛 J=焦 kJ=千焦 cal=卡 kcal=千卡 Hz=赫兹 PD/sqkm=人每平方千米 PD/km2=人每平方千米 m3/s=立方米每秒
    """.split()
)


# Quotations and lists


def quote(args: Arguments, page: Page) -> str:
    """The words, then who said them: {{quote|话|人|书}}."""
    said = args.at(1) or args.get("text", "quote", "content", "quotetext", "引文", "内容")
    by = [
        args.at(2) or args.get("author", "sign", "by", "作者"),
        args.at(3) or args.get("source", "title", "出处", "来源"),
    ]
    signed = "，".join([part for part in by if part])
    return f"\n{said}\n" + (f"——{signed}\n" if signed else "") if said else ""


def pulled_quote(args: Arguments, page: Page) -> str:
    """{{rquote|left|话|人|书}} and {{cquote|话|宽|高|人|书}} with places for the layout between."""
    text = [part for part in args.positional if part and part not in ("left", "right", "center") and not _is_size(part)]
    said, by = (text[0], text[1:]) if text else (args.get("text", "quote", "content"), [])
    by = by or [part for part in (args.get("author", "sign"), args.get("source")) if part]
    return f"\n{said}\n" + (f"——{'，'.join(by)}\n" if by else "") if said else ""


def _is_size(part: str) -> bool:
    return part.removesuffix("px").removesuffix("%").isdecimal()


def poem(args: Arguments, page: Page) -> str:
    text = args.get("content", "text", "1") or args.at(1)
    return f"\n{text}\n" if text else ""


def block(args: Arguments, page: Page) -> str:
    """A template around paragraphs: {{center|文}}, {{columns-list|2|* 甲}}."""
    text = args.last() or args.get("content", "text")
    return f"\n{text}\n"


def items(args: Arguments, page: Page) -> str:
    return "\n" + "\n".join([part for part in args.positional if part]) + "\n"


def folded(args: Arguments, page: Page) -> str:
    """{{hidden|标题|内容}}."""
    parts = (args.at(1) or args.get("header", "title"), args.at(2) or args.get("content", "text"))
    return "\n" + "\n".join([part for part in parts if part]) + "\n"


# The page


def note_ta(args: Arguments, page: Page) -> str:
    """{{noteTA|T=zh-cn:..;zh-tw:..|1=zh-cn:内存;zh-tw:記憶體|G1=IT}}: conversion rules for the whole page."""
    if title := args.get("t"):
        rule = Rule(title)
        if rule.words or rule.replaced:
            page.shown_title = rule.shown()
    for words in args.positional:
        Rule(words).apply(page.words)
    return ""


def disambiguation(args: Arguments, page: Page) -> str:
    page.disambiguation = True
    return ""


def page_name(args: Arguments, page: Page) -> str:
    return page.title
