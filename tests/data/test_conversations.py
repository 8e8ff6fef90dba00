"""SFT rows: only answers are trained, nothing is cut before an end token, every conversation is accounted for."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from yanmo.data.conversations import ConversationBatches
from yanmo.data.rows import pack
from yanmo.model.labels import IGNORE
from yanmo.tokenizer.chat import render, template_of
from yanmo.tokenizer.load import Tokenizer


def turns(*contents: str, system: str | None = None) -> list[dict[str, str]]:
    roles = ("user", "assistant")
    messages = [{"role": roles[n % 2], "content": content} for n, content in enumerate(contents)]
    return messages if system is None else [{"role": "system", "content": system}, *messages]


def conversations(count: int, seed: int = 0) -> list[list[dict[str, str]]]:
    generator = random.Random(seed)

    def words() -> str:
        return "".join(generator.choices("张明在北京买了苹果李华喜欢猫。", k=generator.randint(1, 12)))

    return [turns(*(words() for _ in range(2 * generator.randint(1, 3)))) for _ in range(count)]


def make(tokenizer: Tokenizer, talks: list, length: int = 128, batch: int = 4, **more) -> ConversationBatches:
    return ConversationBatches(talks, tokenizer, length, batch, more.pop("seed", 1), **more)


def conversations_of(batch: dict[str, torch.Tensor], pad: int) -> list[tuple[list[int], list[int]]]:
    """(inputs, labels) of every conversation of a batch, padding left out."""
    found = []
    for inputs, labels, segments in zip(batch["input_ids"], batch["labels"], batch["segments"], strict=True):
        for number in range(int(segments.max()) + 1):
            here = segments == number
            if not (inputs[here] == pad).all():
                found.append((inputs[here].tolist(), labels[here].tolist()))
    return found


def test_unmasked_ids_are_the_answers_and_their_ends(tokenizer: Tokenizer) -> None:
    talks = [
        turns("一", "二。"),
        turns("北京？", "张明在北京。", "然后<|im_end|>？", "没有了 <|im_end|>"),
        turns("1", "2", "3", "4", "5", "6", "7", "", system="系统"),
    ]
    for messages in talks:
        labels = make(tokenizer, [messages], batch=1).batch(0)["labels"]
        answers = "".join(m["content"] + "<|im_end|>" for m in messages if m["role"] == "assistant")
        assert tokenizer.decode(labels[labels != IGNORE].tolist()) == answers


def test_inputs_and_labels_are_the_rendered_conversation(tokenizer: Tokenizer) -> None:
    messages = turns("北京？", "张明在北京。", "然后？", "没有了。")
    ids, trained = render(tokenizer, messages)
    ids, trained = ids[:-1], trained[:-1]  # the newline after the last turn is nobody's target
    batch = make(tokenizer, [messages], batch=1).batch(0)
    length = len(ids) - 1
    assert batch["input_ids"][0, :length].tolist() == ids[:-1]
    assert batch["labels"][0, :length].tolist() == [
        token if flag else IGNORE for token, flag in zip(ids[1:], trained[1:], strict=True)
    ]
    assert (batch["input_ids"][0, length:] == tokenizer.pad_id).all()
    assert (batch["labels"][0, length:] == IGNORE).all()
    assert (batch["segments"][0, length:] == 1).all()
    assert batch["position_ids"][0].tolist() == [*range(length), *range(128 - length)]


def test_every_conversation_is_in_every_epoch_once(tokenizer: Tokenizer) -> None:
    talks = conversations(60)
    packed = make(tokenizer, talks, batch=1)
    expected = sorted(render(tokenizer, messages)[0][:-2] for messages in talks)
    for epoch in range(2):
        numbers = range(epoch * packed.rows, (epoch + 1) * packed.rows)
        rows = [packed.batch(number) for number in numbers]
        found = [pair for row in rows for pair in conversations_of(row, tokenizer.pad_id)]
        assert sorted(inputs for inputs, _ in found) == expected
    in_order = [pair for part in packed.sequential() for pair in conversations_of(part, tokenizer.pad_id)]
    assert sorted(inputs for inputs, _ in in_order) == expected


def test_segments_do_not_fall_and_positions_restart(tokenizer: Tokenizer) -> None:
    batch = make(tokenizer, conversations(60)).batch(3)
    segments, positions = batch["segments"], batch["position_ids"]
    steps = segments[:, 1:] - segments[:, :-1]
    assert set(steps.unique().tolist()) == {0, 1}
    assert (positions[:, 1:][steps == 1] == 0).all()
    assert (positions[:, 1:] - positions[:, :-1])[steps == 0].eq(1).all()


def test_a_batch_depends_on_seed_and_number_alone(tokenizer: Tokenizer) -> None:
    talks = conversations(60)
    running = make(tokenizer, talks)(0)
    for number in range(10):
        batch, resumed = next(running), next(make(tokenizer, talks)(number))
        assert all(torch.equal(batch[name], resumed[name]) for name in batch)
    other = make(tokenizer, talks, seed=2)
    assert not torch.equal(other.batch(0)["input_ids"], make(tokenizer, talks).batch(0)["input_ids"])


def test_too_long_loses_its_oldest_exchanges(tokenizer: Tokenizer) -> None:
    messages = turns("张明" * 20, "一" * 20, "李华？", "王芳。", system="系统")
    shorter = turns("李华？", "王芳。", system="系统")
    length = len(render(tokenizer, shorter)[0])
    packed = make(tokenizer, [messages], length)
    assert (packed.counts.kept, packed.counts.shortened, packed.counts.dropped) == (1, 1, {})
    ((inputs, labels),) = conversations_of(next(iter(packed.sequential())), tokenizer.pad_id)
    assert tokenizer.decode(inputs) == tokenizer.decode(render(tokenizer, shorter)[0][:-2])
    assert labels[-1] == template_of(tokenizer).end_id


def test_no_end_token_after_a_cut(tokenizer: Tokenizer) -> None:
    talks = [turns("李华？", "王芳。" * 40), turns("李华？", "王芳。")]
    dropping = make(tokenizer, talks, 32)
    assert dropping.counts.dropped == {"longer than a row": 1}
    assert (dropping.counts.kept, dropping.counts.cut) == (1, 0)
    cutting = make(tokenizer, talks[:1], 32, batch=1, cut_answers=True)
    assert (cutting.counts.kept, cutting.counts.cut, cutting.counts.dropped) == (1, 1, {})
    labels = cutting.batch(0)["labels"]
    assert template_of(tokenizer).end_id not in labels.tolist()[0]
    assert labels[0, -1] != IGNORE  # trained to the very edge of the row


def test_a_prompt_that_fills_the_row_is_dropped_even_when_cutting(tokenizer: Tokenizer) -> None:
    talks = [turns("李华？" * 40, "王芳。"), turns("李华？", "王芳。")]
    packed = make(tokenizer, talks, 32, cut_answers=True)
    assert packed.counts.dropped == {"longer than a row": 1}
    for batch in packed.sequential():
        assert (batch["labels"] != IGNORE).any(dim=1).all()


def test_nothing_to_train_on_is_counted(tokenizer: Tokenizer) -> None:
    packed = make(tokenizer, [turns("只有问题"), turns("一", "二")])
    assert packed.counts.dropped == {"no answer to train on": 1}
    assert packed.counts.conversations == packed.counts.kept + 1 == 2
    with pytest.raises(ValueError, match=r"no conversation left to train on \(1 no answer to train on\)"):
        make(tokenizer, [turns("只有问题")])
    with pytest.raises(ValueError, match=r"\(none were given\)"):
        make(tokenizer, [])


def test_counts_add_up(tokenizer: Tokenizer) -> None:
    talks = conversations(100)
    packed = make(tokenizer, talks)
    batches = list(packed.sequential())
    trained = sum(int((batch["labels"] != IGNORE).sum()) for batch in batches)
    padding = sum(int((batch["input_ids"] == tokenizer.pad_id).sum()) for batch in batches)
    places = sum(batch["labels"].numel() for batch in batches)
    assert packed.counts.trained_tokens == trained
    assert packed.counts.rows * 128 == places
    assert packed.counts.padding_share == pytest.approx(padding / places)
    assert packed.counts.padding_share < 0.05
    assert packed.batches_per_epoch == -(-packed.rows // 4)


def test_show_parts_text_by_what_is_trained(tokenizer: Tokenizer) -> None:
    packed = make(tokenizer, [turns("龘？", "𠮷，北京。"), turns("一", "二"), turns("三", "四")])
    shown = packed.show(2)
    assert len(shown) == 2
    assert "".join(text for text, _ in shown[0]) == (
        "<|im_start|>user\n龘？<|im_end|>\n<|im_start|>assistant\n𠮷，北京。<|im_end|>"
    )
    assert "".join(text for text, flag in shown[0] if flag) == "𠮷，北京。<|im_end|>"
    assert ("𠮷", True) in shown[0]  # four bytes, several tokens, one piece


def test_packing_is_tight_and_the_same_size_in_any_order() -> None:
    generator = np.random.default_rng(0)
    lengths = generator.integers(1, 400, 3000)
    sizes = set()
    for _ in range(3):
        rows = pack(lengths, generator.permutation(3000), 512)
        assert sorted(np.concatenate(rows).tolist()) == list(range(3000))
        assert max(int(lengths[row].sum()) for row in rows) <= 512
        sizes.add(len(rows))
    assert len(sizes) == 1
    assert lengths.sum() / (len(rows) * 512) > 0.99
