"""Rules about a whole document: each is a step that gives the text back or says why not.

The defaults of `clean` are meant to lose nothing that anybody would want: on the real samples they remove 2 % of
BaiduBaike (bare titles, lists in English), the English rows of instruction data, and nothing of SkyPile,
WanJuan, wikipedia-cn, classical texts and technical Markdown.
"""

from __future__ import annotations

import numpy as np

from yanmo.text.fold import code_points
from yanmo.text.step import Drop, Step

HAN_BLOCKS = (
    (0x4E00, 0x9FFF),  # the common ideographs first: most characters are found here
    (0x3400, 0x4DBF),  # extension A
    (0xF900, 0xFAFF),  # compatibility
    (0x20000, 0x33479),  # extensions B to J
    (0x3007, 0x3007),  # 〇
)


def length(minimum: int, maximum: int | None) -> Step:
    """Keep documents of `minimum` to `maximum` characters (Unicode code points)."""

    def step(text: str) -> str | Drop:
        if len(text) < minimum:
            return Drop("too_short", f"{len(text)} characters")
        if maximum is not None and len(text) > maximum:
            return Drop("too_long", f"{len(text)} characters")
        return text

    return step


def han(minimum: float) -> Step:
    """Keep documents in which Han characters are at least `minimum` of all that is not white space."""

    def step(text: str) -> str | Drop:
        ratio = han_ratio(text)
        return text if ratio >= minimum else Drop("few_han", f"Han ratio {ratio:.3f}")

    return step


def han_ratio(text: str) -> float:
    """Share of Han characters among the characters that are not white space; 0 for none at all."""
    points = code_points(text)
    visible = np.count_nonzero((points > 0x20) & (points != 0x3000) & (points != 0xA0))
    is_han = np.zeros(len(points), bool)
    for first, last in HAN_BLOCKS:
        # Unsigned subtraction wraps, so one comparison tests both ends.
        is_han |= points - np.uint32(first) <= np.uint32(last - first)
    return float(np.count_nonzero(is_han)) / max(int(visible), 1)
