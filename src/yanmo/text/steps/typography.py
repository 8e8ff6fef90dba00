"""Typing habits that say nothing: full-width letters and digits, and runs of the same mark.

Only letters and digits become ASCII; ，。！？（） and all full-width punctuation are Chinese and stay. A text that
itself speaks of 全角 and 半角 is left alone. A run of ！ or ？ becomes three of them; …… and —— (GB/T 15834: six
dots, or twelve for whole lines left out), rulers, leaders, tables and code are made of other characters or
follow none that is Chinese, and stay.
"""

from __future__ import annotations

import re

FULL_WIDTH = re.compile("[０-９Ａ-Ｚａ-ｚ]+")
TO_ASCII = {point: point - 0xFEE0 for point in (*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B))}
DECIMAL_POINT = re.compile("(?<=[0-9])．(?=[0-9])")
ABOUT_WIDTH = re.compile("[全半][角形]")

LONGEST_RUN = 3
RUN = re.compile(
    "([！？。，])\\1{3,}"  # four of a full-width mark
    "|(?<=[\u3400-\u9fff！？。，、）”])([!?])\\2{3,}"  # of an ASCII one after Chinese only: in code they mean something
)
RUNS = tuple(mark * (LONGEST_RUN + 1) for mark in "！？。，!?")
ELLIPSIS = re.compile("…{5,}")
LONGEST_ELLIPSIS = 4


def ascii_letters(text: str) -> str:
    """Full-width letters and digits, and the point between such digits, in ASCII."""
    if not FULL_WIDTH.search(text) or ABOUT_WIDTH.search(text):
        return text
    text = FULL_WIDTH.sub(lambda match: match[0].translate(TO_ASCII), text)
    return DECIMAL_POINT.sub(".", text)


def short_runs(text: str) -> str:
    """No mark more than three times in a row, no … more than four times."""
    if any(run in text for run in RUNS):
        text = RUN.sub(lambda match: match[0][:LONGEST_RUN], text)
    return ELLIPSIS.sub("…" * LONGEST_ELLIPSIS, text) if "…………" in text else text
