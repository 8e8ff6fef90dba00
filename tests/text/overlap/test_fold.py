from __future__ import annotations

import pytest

from yanmo.text.overlap.fold import fold_all, folded, folded_hash, folded_hashes, letters_of


@pytest.mark.parametrize(
    "first, second",
    [
        ("你好，世界！", "你好, 世界!"),
        ("ＡＢＣ１２３", "abc123"),
        ("“引用”、空 格\n换行", '"引用",空格换行'),
        ("零\u200b宽", "零宽"),
        ("漢語簡體與繁體", "汉语简体与繁体"),
        ("⼀⾔", "一言"),
        ("𠁞", "𠀾"),
    ],
)
def test_the_same_typed_differently(first: str, second: str) -> None:
    assert folded_hash(first) == folded_hash(second)


@pytest.mark.parametrize(
    "first, second", [("1.5", "15"), ("a+b", "a-b"), ("天地", "地天"), ("㐀", "㐁"), ("𠮷", "吉"), ("", "a")]
)
def test_what_differs_stays_different(first: str, second: str) -> None:
    assert folded_hash(first) != folded_hash(second)


def test_folded_form() -> None:
    assert "".join(map(chr, folded("Ｈello　世界。 ①½ﬁ𠮷"))) == "hello世界.1½ﬁ𠮷"


def test_many_texts_fold_as_each_alone() -> None:
    texts = ["天地玄黃，", "", " \n", "宇宙洪荒。", "Ｘ"]
    together = fold_all(texts)
    alone = [folded(text).tolist() for text in texts]
    ends = together.ends.tolist()
    assert [together.points[start:end].tolist() for start, end in zip([0, *ends], ends, strict=False)] == alone
    assert folded_hashes(together) == b"".join(map(folded_hash, texts))


def test_letters_know_where_they_stood() -> None:
    texts = ["《論語》：「學而」☆", "a+b=3。", "🙂"]
    letters, places = letters_of(texts)
    assert "".join(map(chr, letters.points)) == "论语学而ab3"
    assert letters.ends.tolist() == [4, 7, 7]
    assert "".join("".join(texts)[place] for place in places) == "論語學而ab3"
    assert fold_all(texts).letters().points.tolist() == letters.points.tolist()


def test_a_lone_surrogate_is_a_character() -> None:
    assert folded("a\ud800b").tolist() == [0x61, 0xD800, 0x62]
