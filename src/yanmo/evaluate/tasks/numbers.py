"""Tasks with numbers: column arithmetic, sorting, counting characters."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from yanmo.evaluate.tasks.problem import ANSWER, Problem, Task, exactly, final

PLACES = ("个位", "十位", "百位", "千位", "万位")
NUMERALS = "零一二三四五六七八九十"
POOL = "春夏秋冬山水花鸟日月星云风雨雪东西南北红绿黄白大小多少上下左右"


def arithmetic(generator: random.Random, level: int) -> Problem:
    """Addition and subtraction, level = digits; in columns from two digits on. All or nothing: the last digit alone is
    easy, so partial credit would be earned without carrying."""
    low, high = (10 ** (level - 1), 10**level - 1) if level > 1 else (0, 9)
    a, b = generator.randint(low, high), generator.randint(low, high)
    minus = generator.random() < 0.5
    if minus and a < b:
        a, b = b, a
    word, result = ("减", a - b) if minus else ("加", a + b)
    plain = f"{a}{word}{b}等于{result}"
    solution = f"{result}" if level == 1 else f"{columns(a, b, minus)}{ANSWER}{result}"
    ask = "只写得数。" if level == 1 else f"可以列竖式，最后写“{ANSWER}”和得数。"
    return Problem(f"{a}{word}{b}等于几？{ask}", solution, exactly(str(result), plain), f"{a} {word} {b}")


def columns(a: int, b: int, minus: bool) -> str:
    """The working, place by place from the right: 个位7+5=12，进1；十位3+4+1=8； or 个位15-7=8，借1；十位4-2-1=1；"""
    steps, carry = [], 0
    for place in range(len(str(a))):
        x, y, before = a // 10**place % 10, b // 10**place % 10, carry
        carry = int(x - y - before < 0 if minus else x + y + before > 9)
        if minus:
            x += 10 * carry
        sign, note = ("-", "借1") if minus else ("+", "进1")
        total = x - y - before if minus else x + y + before
        steps.append(f"{PLACES[place]}{x}{sign}{y}" + f"{sign}1" * before + f"={total}" + f"，{note}" * carry + "；")
    return "".join(steps)


def sorting(generator: random.Random, level: int) -> Problem:
    """Numbers to be put in order: three to five digits, then both directions, then numbers of two digits.

    Partial credit: half of the share of numbers that are in their place from the front on, if all numbers are there
    and no others. The order of the question is paid nothing: its first number is never the one that comes first.
    """
    count = min(level + 2, 5) if level < 6 else 8
    numbers = generator.sample(range(10), count) if level < 5 else generator.sample(range(100), count)
    down = level > 3 and generator.random() < 0.5
    ordered = sorted(numbers, reverse=down)
    if numbers[0] == ordered[0]:
        numbers[0], numbers[1] = numbers[1], numbers[0]
    asked = "、".join(map(str, numbers))
    direction = "从大到小" if down else "从小到大"
    solution = "、".join(map(str, ordered))
    return Problem(f"把{asked}{direction}排列。", solution, in_order(ordered), f"{direction}{asked}")


def in_order(ordered: list[int]) -> Callable[[str], float]:
    def check(answer: str) -> float:
        text = final(answer)
        if not re.fullmatch(r"\d+([、, ]+\d+)*", text):
            return 0.0
        said = [int(number) for number in re.findall(r"\d+", text)]
        if said == ordered:
            return 1.0
        if sorted(said) != sorted(ordered):
            return 0.0
        right = next(place for place, (ours, theirs) in enumerate(zip(said, ordered, strict=True)) if ours != theirs)
        return 0.5 * right / len(ordered)

    return check


def counting(generator: random.Random, level: int) -> Problem:
    """How often a character stands in a row of characters. All or nothing: near is a guess."""
    length, most = 4 * level, level + 2
    wanted, *others = generator.sample(POOL, 2 * level + 3)
    count = generator.randint(0, most)
    row = [wanted] * count + [generator.choice(others) for _ in range(length - count)]
    generator.shuffle(row)
    text = "".join(row)
    forms = {str(count), f"{count}个", f"有{count}个"} | {NUMERALS[count], f"{NUMERALS[count]}个"}
    if count == 2:
        forms.add("两个")
    return Problem(f"“{text}”里有几个“{wanted}”？只写数字。", str(count), exactly(*forms), f"{text}{wanted}")


ARITHMETIC = Task("arithmetic", "addition and subtraction, from two digits on in columns", 4, arithmetic)
SORTING = Task("sorting", "numbers in order", 6, sorting)
COUNTING = Task("counting", "how often a character occurs", 5, counting)
