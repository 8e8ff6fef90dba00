"""Tasks about form: an exact length, the heads of lines, rhyme, JSON with given keys.

Rules see the form and not the sense: that an answer is also good Chinese is what the KL divergence from the reference
is for. What a rule can see of emptiness it asks for: no characters repeated without end, nothing copied from the
question, no line twice.
"""

from __future__ import annotations

import functools
import itertools
import json
import random
from collections.abc import Callable
from importlib import resources
from typing import Any

from yanmo.evaluate.tasks.problem import Problem, Task, clauses, copied, final, is_hanzi, varied

TOPICS = (
    "春风 秋月 夏日 冬雪 青山 绿水 白云 红叶 明月 星空 大海 小溪 清泉 竹林 梅花 桃花 荷叶 柳树 老师 母亲 朋友 "
    "故乡 童年 小桥 灯火 晨光 晚霞 细雨 彩虹 麦田 炊烟 渔船 燕子 蝴蝶 黄牛 书本 石头 花园 果树 草地 码头 村庄 "
    "城市 道路"
).split()
TIMES = ("", "今天", "清晨", "今天早上", "昨天晚上")
SUBJECTS = ("我", "我们", "小朋友", "邻居一家", "村里的老人")
VERBS = ("爱", "喜欢", "忘不了", "又想起了", "一直惦记着")
TAILS = ("", "心里真高兴", "大家都笑了", "谁也不说话", "风轻轻地吹着", "一切都那么安静")
LINES = (
    "灯火照东墙 小船过横塘 秋稻满山黄 竹影上西窗 晚风送荷香 细雨湿花丛 炊烟绕小亭 归鸟入林中 田里响蛙声 "
    "满天都是星 门前柳色青 孤帆去不还 白云住半山 清泉落石间 夜静月光寒 钟声到客船 桃花满旧村 牧笛过前门 "
    "青苔上石门 春水绿无痕 山路少行人 门外雪花飘 燕子绕檐高 柳线拂长桥 明月上枝梢 一叶下轻舟 江水向东流 "
    "书声满小楼 风起已成秋 邻家正煮茶 溪边见落花 暮色染篱笆 山里有人家 天边起晚霞 蝴蝶过墙来 海棠昨夜开 "
    "小雨润苍苔 杏花细雨飞 牛羊日暮归 青山绿水围 新竹过人齐 蜻蜓点水低 黄莺深树啼 细草绿长堤 池塘起绿波 "
    "柴门对小河 渔人唱晚歌 梨花落满坡 画里见西湖 雪后访茅庐"
).split()
OPENINGS = ("今朝", "且看", "忽见", "遥想", "又是", "谁知", "最爱", "几时")
NAMES = ("小明", "小红", "李华", "王芳", "张伟", "陈静", "刘洋", "赵强", "孙丽", "周涛")
FIELDS: dict[str, tuple[Any, ...]] = {
    "姓名": NAMES,
    "年龄": tuple(range(6, 60)),
    "城市": ("北京", "上海", "广州", "成都", "西安", "南京", "杭州", "武汉"),
    "职业": ("老师", "医生", "司机", "农民", "画家", "厨师"),
    "爱好": ("下棋", "唱歌", "跑步", "钓鱼", "画画", "看书"),
    "身高": tuple(range(110, 190)),
}


def exact_length(generator: random.Random, level: int) -> Problem:
    """A sentence of exactly n characters, punctuation aside, that holds a given word.

    Partial credit: up to half for a length near n. The word alone is too short for any; the question's own words and
    repetition are paid nothing.
    """
    low, high = ((4, 6), (7, 9), (10, 13), (14, 18))[level - 1]
    count, word = generator.randint(low, high), generator.choice(TOPICS)
    question = f"写一句话，要有“{word}”，不算标点正好{count}个字。"

    def check(answer: str) -> float:
        text = "".join(filter(is_hanzi, final(answer)))
        rest = text.replace(word, "", 1)
        if word not in text or not varied(text) or copied(rest, question, 3) or foreign(answer):
            return 0.0
        away = abs(len(text) - count)
        return 1.0 if away == 0 else 0.5 * max(0.0, 1 - 2 * away / count)

    return Problem(question, sentence(generator, word, count), check, f"{word} {count}")


def foreign(answer: str) -> bool:
    """Letters or digits, which would be words that are not counted."""
    return any(character.isascii() and character.isalnum() for character in final(answer))


def sentence(generator: random.Random, word: str, count: int) -> str:
    """A sentence of `count` characters with the word in it."""
    ways = [
        parts
        for parts in itertools.product(TIMES, SUBJECTS, VERBS, TAILS)
        if sum(map(len, parts)) + len(word) == count and varied("".join(parts) + word)
    ]
    time, subject, verb, tail = generator.choice(ways)
    return f"{time}{subject}{verb}{word}" + (f"，{tail}。" if tail else "。")


def acrostic(generator: random.Random, level: int) -> Problem:
    """Lines whose first characters spell a word (藏头诗): two to four, then lines of exactly five and seven characters.

    Partial credit: half of the share of lines that begin as they should, if there are as many lines as characters.
    """
    heads = "".join(generator.sample(TOPICS, 2))[: (2, 3, 4, 4, 4)[level - 1]]
    exact = (None, None, None, 5, 7)[level - 1]
    length = f"正好{exact}个字" if exact else "三到七个字"
    question = f"写一首藏头诗，共{len(heads)}句，每句{length}，每句第一个字连起来是“{heads}”。"
    sizes = (exact,) if exact else (3, 4, 5, 6, 7)

    def good(line: str, head: str) -> bool:
        return line[0] == head and len(line) in sizes and varied(line) and not copied(line, question, 3)

    def check(answer: str) -> float:
        lines = clauses(final(answer))
        if len(lines) != len(heads) or len({line[1:] for line in lines}) < len(lines) or foreign(answer):
            return 0.0
        right = sum(good(line, head) for line, head in zip(lines, heads, strict=True))
        return 1.0 if right == len(heads) else 0.5 * right / len(heads)

    tails = generator.sample([line for line in LINES if not set(line) & set(heads)], len(heads))
    if exact == 7:
        bodies = [f"{generator.choice(OPENINGS)[1:]}{tail}" for tail in tails]
    else:
        bodies = [tail[1:] for tail in tails]
    solution = "，".join(head + body for head, body in zip(heads, bodies, strict=True)) + "。"
    return Problem(question, solution, check, heads)


@functools.cache
def rhymes() -> dict[str, str]:
    """Character -> its rhyme in the new system of fourteen (中华新韵), by its commonest reading; 3,755 characters."""
    text = resources.files("yanmo.evaluate.tasks").joinpath("rhymes.txt").read_text(encoding="utf-8")
    rows = [line.split() for line in text.splitlines() if not line.startswith("#")]
    return {character: name for name, characters in rows for character in characters}


def rhyme_of(character: str) -> str:
    return rhymes().get(character, f"none: {character}")


def rhyming(generator: random.Random, level: int) -> Problem:
    """A character that rhymes with another; a second line to a first one; four lines of which 1, 2 and 4 rhyme, of
    five and of seven characters.

    All or nothing. A line must not end as another does, nor share three characters in a row with the question.
    """
    if level == 1:
        return rhyming_character(generator)
    if level == 2:
        return second_line(generator)
    size, topic = (5, 7)[level - 3], generator.choice(TOPICS)
    question = f"写一首关于“{topic}”的诗，共四句，每句{size}个字，第一、二、四句押韵，诗里要有“{topic}”。"

    def check(answer: str) -> float:
        lines = clauses(final(answer))
        fits = len(lines) == 4 and all(len(line) == size and varied(line) for line in lines) and not foreign(answer)
        return float(fits and topic in "".join(lines) and rhyme(lines[0], lines[1], lines[3]))

    return Problem(question, quatrain(generator, topic, size), check, f"{topic} {size}")


def rhyme(*lines: str) -> bool:
    """The lines end on one rhyme and on different characters."""
    ends = [line[-1] for line in lines]
    return len(set(ends)) == len(ends) and len({rhyme_of(end) for end in ends}) == 1


def rhyming_character(generator: random.Random) -> Problem:
    given = generator.choice([character for character in generator.choice(LINES) if character in rhymes()])
    common = sorted({character for line in LINES for character in line if rhyme(character, given)})
    others = common or [character for character in rhymes() if rhyme(character, given)]

    def check(answer: str) -> float:
        said = final(answer)
        return float(len(said) == 1 and said in rhymes() and rhyme(said, given))

    return Problem(f"写一个和“{given}”押韵的字，只写一个字。", generator.choice(others), check, given)


def second_line(generator: random.Random) -> Problem:
    given = generator.choice([line for line in LINES if any(rhyme(line, other) for other in LINES)])
    question = f"“{given}”，接一句五个字的，和它押韵，只写这一句。"

    def check(answer: str) -> float:
        lines = clauses(final(answer))
        fits = len(lines) == 1 and len(lines[0]) == 5 and varied(lines[0]) and not foreign(answer)
        return float(fits and not copied(lines[0], question, 3) and rhyme(lines[0], given))

    return Problem(question, generator.choice([line for line in LINES if rhyme(line, given)]) + "。", check, given)


def quatrain(generator: random.Random, topic: str, size: int) -> str:
    """Four lines that keep the rule, the topic at the head of the third."""
    by_rhyme = [[line for line in LINES if rhyme_of(line[-1]) == name] for name in {rhyme_of(x[-1]): 0 for x in LINES}]
    ways = [lines for lines in by_rhyme if len({line[-1] for line in lines}) >= 3]
    lines = generator.choice(ways)
    ends = {line[-1]: line for line in generator.sample(lines, len(lines))}
    first, second, last = generator.sample(sorted(ends.values()), 3)
    third = topic + "无限好"
    if size == 7:
        first, second, third, last = (
            opening + line
            for opening, line in zip(generator.sample(OPENINGS, 4), (first, second, third, last), strict=True)
        )
    return f"{first}，{second}。{third}，{last}。"


def json_object(generator: random.Random, level: int) -> Problem:
    """A JSON object with given keys and values: two to four of them, then a list as well.

    Partial credit: half of the share of right pairs, if the answer is one object without other keys. An empty object
    is paid nothing; a key given twice is no JSON here.
    """
    fields = generator.sample(list(FIELDS), min(level + 1, 4))
    wanted: dict[str, Any] = {name: generator.choice(FIELDS[name]) for name in fields}
    told = "，".join(f"{name}是{value}" for name, value in wanted.items())
    if level == 4:
        friends = generator.sample(NAMES, 2)
        wanted["朋友"] = friends
        told += f"，朋友是{friends[0]}和{friends[1]}"
    solution = json.dumps(wanted, ensure_ascii=False)
    return Problem(f"用JSON写出：{told}。数字不加引号，只写JSON。", solution, object_equal_to(wanted), told)


def object_equal_to(wanted: dict[str, Any]) -> Callable[[str], float]:
    def check(answer: str) -> float:
        try:
            said = json.loads(final(answer), object_pairs_hook=without_doubles)
        except (ValueError, RecursionError):
            return 0.0
        if not isinstance(said, dict) or not said.keys() <= wanted.keys():
            return 0.0
        right = sum(name in said and same(said[name], value) for name, value in wanted.items())
        return 1.0 if right == len(wanted) else 0.5 * right / len(wanted)

    return check


def without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key is given twice")
    return dict(pairs)


def same(said: object, wanted: object) -> bool:
    """Equal and of the same type: 8 is not "8", and true is not 1."""
    return type(said) is type(wanted) and said == wanted


LENGTH = Task("length", "a sentence of an exact number of characters", 4, exact_length)
ACROSTIC = Task("acrostic", "lines whose first characters spell a word", 5, acrostic)
RHYME = Task("rhyme", "rhyme by the finals of the fourteen rhymes", 4, rhyming)
JSON = Task("json", "a JSON object with given keys and values", 4, json_object)
