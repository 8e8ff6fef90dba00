"""Which answers of a model make a preference."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from yanmo.data.rejected import common, preferences, similarity

TEXT = st.text(alphabet="甲乙丙a1。 ", max_size=12)


def longest(one: str, other: str) -> int:
    """The textbook table."""
    row = [0] * (len(other) + 1)
    for a in one:
        before = row[:]
        for place, b in enumerate(other, 1):
            row[place] = before[place - 1] + 1 if a == b else max(before[place], row[place - 1])
    return row[-1]


@given(TEXT, TEXT)
def test_the_longest_common_subsequence(one: str, other: str) -> None:
    assert common(one, other) == longest(one, other)
    assert similarity(one, other) == similarity(other, one) and 0 <= similarity(one, other) <= 1


def test_similarity_is_what_a_reader_sees() -> None:
    assert similarity("好的，我知道了！", "好的。我知道了") == 1
    assert similarity("今年四十二岁", "今年四十三岁") == 10 / 12
    assert similarity("你好", "再见") == 0


def test_what_says_nothing_is_counted() -> None:
    question = [{"role": "user", "content": "问"}]
    long = "这是一个相当长的回答，只差一点点"
    rows = [(question, "好。", own) for own in ("  ", "好。", "好！", "不好，我不知道。")] + [
        (question, long, long + "点")
    ]
    left_out: Counter[str] = Counter()
    pairs = list(preferences(rows, 0.9, left_out))
    assert [(pair.chosen, pair.rejected) for pair in pairs] == [("好。", "不好，我不知道。")]
    assert left_out == {"empty_rejected": 1, "equal_answers": 1, "similar_answers": 2}
