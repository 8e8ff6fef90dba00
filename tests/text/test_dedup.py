from __future__ import annotations

import random

import numpy as np
import pytest

from yanmo.text.dedup import Seen
from yanmo.text.fold import folded, folded_hash


@pytest.mark.parametrize(
    "first, second",
    [
        ("你好，世界！", "你好, 世界!"),
        ("ＡＢＣ１２３", "abc123"),
        ("“引用”、空 格\n换行", '"引用",空格换行'),
        ("零\u200b宽", "零宽"),
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


def test_seen_is_a_set_that_knows_the_first() -> None:
    rng = random.Random(0)
    pool = [rng.randbytes(16) for _ in range(60_000)] + [bytes(16), bytes(15) + b"\x01"]
    seen, reference = Seen(), set[bytes]()
    for _ in range(100):
        batch = rng.choices(pool, k=rng.randrange(2000))
        expected = []
        for key in batch:
            expected.append(key not in reference)
            reference.add(key)
        assert seen.add(b"".join(batch)).tolist() == expected
    assert len(seen) == len(reference) > 40_000
    assert seen.nbytes <= 48 * len(seen)


def test_colliding_slots() -> None:
    """Keys that all want the same slot are told apart."""
    keys = np.zeros((500, 2), np.uint64)
    keys[:, 1] = 2 * np.arange(500) + 1
    seen = Seen()
    assert seen.add(keys.tobytes()).all()
    assert not seen.add(keys[::-1].tobytes()).any()
    assert not len(seen.add(b""))
