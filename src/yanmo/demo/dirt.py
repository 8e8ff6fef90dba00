"""Rows that `clean` has to take out again: copies, scraps, advertisements, foreign text and broken encodings.

Every real corpus has them. The demo adds known ones, so that its first stage has something to show and a test can
check that nothing of it reaches the model.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

SCRAPS = ("好。", "嗯嗯", "……", "点击", "1", "test", "返回首页", "上一页 下一页")
FOREIGN = (
    "The weather report for the coast: light winds from the north, a calm sea, and rain before the evening.",
    "Please read the manual before you open the case; there are no parts inside that a user can repair.",
    "Lot 27: one oak table, four chairs and a clock that stopped many years ago at ten minutes to three.",
    "def area(width, height):\n    return width * height\n\nprint(area(3, 4), area(5, 6), area(7, 8))",
)
OFFERS = ("限时特价", "全场五折", "免费领取", "加微信送好礼", "日赚三百元")
GOODS = ("减肥茶", "祛斑霜", "游戏点卡", "名牌手表", "刷单兼职", "无抵押贷款")


def dirty_rows(clean: list[str], count: int, rng: random.Random) -> Iterator[tuple[str, str]]:
    """`count` rows of (reason, text), made from the clean documents or out of nothing."""
    makers = {
        "copy": lambda: rng.choice(clean),
        "scrap": lambda: rng.choice(SCRAPS),
        "foreign": lambda: rng.choice(FOREIGN) + f" ({rng.randint(100, 999)})",
        "advert": lambda: _advert(rng),
        "mojibake": lambda: rng.choice(clean).encode().decode("latin-1"),
    }
    for _ in range(count):
        reason = rng.choices(list(makers), (4, 2, 2, 1, 2))[0]
        yield reason, makers[reason]()


def _advert(rng: random.Random) -> str:
    number = rng.randint(10000, 99999)
    offers = "！".join(rng.sample(OFFERS, 3))
    link = f"http://ad.example/{number}"
    return f"【{rng.choice(GOODS)}】{offers}！！！>>> {link} <<< QQ:{number}{number} ★★★★★★ $$$$ 88888888 ====== {link}"
