from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from yanmo.core.files import write_jsonl
from yanmo.text.step import Drop
from yanmo.text.steps.classifier import FEWEST, good_enough, load, read_examples, train

GOOD = (
    "历史上 这条河 多次改道 两岸的村庄 依水而建 学者认为 其原因 在于泥沙 淤积 以及 气候 变迁 文献记载 十分丰富".split()
)
BAD = "亲们 快来抢购 全网最低 包邮 到家 点击链接 领券下单 错过再等一年 限量 秒杀 加我 有惊喜 转发 免费送".split()


def texts(words: list[str], seed: int, number: int = 80) -> list[str]:
    """Sentences of a side's own words with some of the other's, so that it takes weighing."""
    draw = random.Random(seed)
    other = BAD if words is GOOD else GOOD
    return ["，".join(draw.choices(words, k=12) + draw.choices(other, k=4)) + "。" for _ in range(number)]


def test_learns_what_is_good(tmp_path: Path) -> None:
    classifier = train(texts(GOOD, 1), texts(BAD, 2))
    assert classifier.accuracy > 0.95
    unseen = [classifier.probability(text) > 0.5 for text in texts(GOOD, 3, 50)]
    unseen += [classifier.probability(text) < 0.5 for text in texts(BAD, 4, 50)]
    assert np.mean(unseen) > 0.95
    classifier.save(tmp_path / "quality.safetensors")
    again = load(tmp_path / "quality.safetensors")
    text = texts(GOOD, 5, 1)[0]
    assert again.probability(text) == classifier.probability(text)
    assert good_enough(again, 0.5)(text) == text
    result = good_enough(again, 0.5)(texts(BAD, 6, 1)[0])
    assert isinstance(result, Drop) and result.reason == "low_quality"
    assert 0 < again.probability("") < 1


def test_the_same_examples_give_the_same_weights() -> None:
    first, second = (train(texts(GOOD, 1), texts(BAD, 2)) for _ in range(2))
    assert np.array_equal(first.weights, second.weights) and first.bias == second.bias


def test_chance_is_reported_as_chance() -> None:
    both = texts(GOOD, 1, 160)
    assert train(both[:80], both[80:]).accuracy < 0.65


def test_too_few_examples() -> None:
    with pytest.raises(ValueError, match=f"--bad-examples: 3 documents; give at least {FEWEST}"):
        train(texts(GOOD, 1), texts(BAD, 2, 3))


def test_not_a_classifier(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match="not a quality classifier"):
        load(path)


def test_examples_come_in_any_format(tmp_path: Path) -> None:
    with write_jsonl(tmp_path / "a.jsonl") as rows:
        rows.write({"text": "第一篇\r\n文章"})
        rows.write({"text": "  "})
    (tmp_path / "b.txt").write_text("第二篇文章\n", "utf-8")
    assert read_examples([tmp_path]) == ["第一篇\n文章", "第二篇文章"]
