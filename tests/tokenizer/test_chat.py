"""The chat template: the same ids as `transformers`, and nothing in a message can become a control token."""

from __future__ import annotations

import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.tokenizer.chat import oldest_exchange, render, render_all
from yanmo.tokenizer.load import Tokenizer
from yanmo.tokenizer.special import SPECIAL_TOKENS


def turns(*contents: str, system: str | None = None) -> list[dict[str, str]]:
    roles = ("user", "assistant")
    messages = [{"role": roles[n % 2], "content": content} for n, content in enumerate(contents)]
    return messages if system is None else [{"role": "system", "content": system}, *messages]


CONVERSATIONS = [
    turns("你好"),
    turns("你好", "你好！"),
    turns("你好", "你好！", "再见", "再见。", system="你是小墨。"),
    turns("  空格 \n", "\n\n换行\n  缩进\t\n"),
    turns("\u3000全角空格\u3000", "\xa0x\u2028"),
    turns("", "", system=" "),
    turns("1 + 1 = ?", "2", "```python\nprint('hi')\n```", "<b>&amp;</b> {{ 7 * 7 }} {% raw %}"),
    turns("'s", "\x85a\x1c", "．", "。\n\n"),
]


@pytest.fixture(scope="module")
def theirs(tokenizer: Tokenizer) -> transformers.PreTrainedTokenizerBase:
    return transformers.AutoTokenizer.from_pretrained(tokenizer.path)


def their_ids(theirs: transformers.PreTrainedTokenizerBase, messages: list, prompt: bool) -> list[int]:
    return theirs.apply_chat_template(messages, add_generation_prompt=prompt, tokenize=True, return_dict=False)


@pytest.mark.parametrize("messages", CONVERSATIONS)
@pytest.mark.parametrize("prompt", [False, True])
def test_same_ids_as_transformers(tokenizer: Tokenizer, theirs, messages: list, prompt: bool) -> None:
    ids, trained = render(tokenizer, messages, add_generation_prompt=prompt)
    assert ids == their_ids(theirs, messages, prompt)
    assert len(trained) == len(ids)


# Without control tokens: those `transformers` would take for real, and we would not (the test after this one).
ORDINARY = st.text(st.characters(exclude_categories=["Cs"])).filter(lambda text: "<|" not in text)


@given(contents=st.lists(ORDINARY, min_size=1, max_size=4))
@settings(max_examples=100, deadline=None)
def test_same_ids_as_transformers_on_any_text(tokenizer: Tokenizer, theirs, contents: list[str]) -> None:
    messages = turns(*contents, system="你是小墨。")
    assert render(tokenizer, messages, True)[0] == their_ids(theirs, messages, True)


PARTS = st.sampled_from([*SPECIAL_TOKENS, "user\n", "assistant\n", "<|", "|>", "im_end", "好", "\n", " "])


@given(contents=st.lists(st.lists(PARTS).map("".join), min_size=1, max_size=4))
@settings(max_examples=100, deadline=None)
def test_no_text_becomes_a_control_token(tokenizer: Tokenizer, contents: list[str]) -> None:
    ids, trained = render(tokenizer, turns(*contents), add_generation_prompt=True)
    controls = [number for number in ids if number in tokenizer.special_ids]
    turn = [tokenizer.turn_start_id, tokenizer.turn_end_id]
    assert controls == turn * len(contents) + [tokenizer.turn_start_id]
    answers = "".join(content.strip() + "<|im_end|>" for content in contents[1::2])
    assert tokenizer.decode([n for n, flag in zip(ids, trained, strict=True) if flag]) == answers


@pytest.mark.parametrize("messages", [m for m in CONVERSATIONS if m[-1]["role"] == "assistant"])
def test_training_prefix_is_the_prompt(tokenizer: Tokenizer, messages: list) -> None:
    """What precedes an answer in training is what the model is given when it must answer."""
    ids, trained = render(tokenizer, messages)
    prompt, untrained = render(tokenizer, messages[:-1], add_generation_prompt=True)
    assert ids[: len(prompt)] == prompt
    assert trained[: len(prompt)] == untrained
    assert all(trained[len(prompt) : -1])
    assert tokenizer.decode(ids[len(prompt) :]) == messages[-1]["content"].strip() + "<|im_end|>\n"


def test_many_are_like_one(tokenizer: Tokenizer) -> None:
    many = CONVERSATIONS * 40
    assert list(render_all(tokenizer, iter(many))) == [render(tokenizer, messages) for messages in many]


def test_unknown_role(tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="role 'robot'; known are system, user, assistant"):
        render(tokenizer, [{"role": "robot", "content": "哔"}])


def test_oldest_exchange_leaves_the_system_turn_and_the_last_question() -> None:
    messages = turns("一", "二", "三", "四", system="系统")
    oldest = oldest_exchange(messages)
    assert oldest == slice(1, 3)
    del messages[oldest]
    assert messages == turns("三", "四", system="系统")
    assert oldest_exchange(messages) is None
    greeted = [{"role": "assistant", "content": "你好"}, *turns("一", "二", "三")]
    assert oldest_exchange(greeted) == slice(0, 3)
