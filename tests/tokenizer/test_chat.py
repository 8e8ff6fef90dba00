"""The chat templates: the same ids as `transformers`, and nothing in a message can become a control token."""

from __future__ import annotations

from pathlib import Path

import pytest
import tokenizers
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.tokenizer.chat import oldest_exchange, render, render_all, template_of, with_template
from yanmo.tokenizer.layouts import LAYOUTS
from yanmo.tokenizer.load import Tokenizer, load_tokenizer
from yanmo.tokenizer.save import save_configured, save_tokenizer
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
    turns("问", "“引号”", "？", ": 冒号", "]", "]", "3", "3", "a", "a", "", "", system="系统\n"),
]


def named(tokenizer: Tokenizer, directory: Path) -> Tokenizer:
    """The tokenizer with the control tokens that the sources' templates were written with."""
    backend = tokenizers.Tokenizer.from_str(tokenizer.backend.to_str())
    backend.add_special_tokens(
        [tokenizers.AddedToken(token, special=True, normalized=False) for token in ("<s>", "</s>", "<bos>", "<eos>")]
    )
    save_tokenizer(backend, directory)
    return load_tokenizer(directory)


Pair = tuple[Tokenizer, transformers.PreTrainedTokenizerBase]


@pytest.fixture(scope="module", params=[(name, own) for name in LAYOUTS for own in (False, True)], ids=str)
def pair(request: pytest.FixtureRequest, tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """One of the templates, in Yanmo's tokens or in its own, as we load it and as `transformers` does."""
    name, own = request.param
    directory = tmp_path_factory.mktemp(name)
    plain = named(tokenizer, directory / "plain") if own else tokenizer
    save_configured(with_template(plain, name), directory / "dressed")
    ours = load_tokenizer(directory / "dressed")
    assert template_of(ours).name == name
    return ours, transformers.AutoTokenizer.from_pretrained(directory / "dressed")


def their_ids(theirs: transformers.PreTrainedTokenizerBase, messages: list, prompt: bool) -> list[int]:
    return theirs.apply_chat_template(messages, add_generation_prompt=prompt, tokenize=True, return_dict=False)


@pytest.mark.parametrize("prompt", [False, True])
def test_same_ids_as_transformers(pair: Pair, prompt: bool) -> None:
    tokenizer, theirs = pair
    for messages in CONVERSATIONS:
        ids, trained = render(tokenizer, messages, add_generation_prompt=prompt)
        assert ids == their_ids(theirs, messages, prompt)
        assert len(trained) == len(ids)


# Without control tokens: those `transformers` would take for real, and we would not (the test after this one).
ORDINARY = st.text(st.characters(exclude_categories=["Cs"])).filter(lambda text: "<" not in text)


@given(contents=st.lists(ORDINARY, min_size=1, max_size=4))
@settings(max_examples=50, deadline=None)
def test_same_ids_as_transformers_on_any_text(pair: Pair, contents: list[str]) -> None:
    tokenizer, theirs = pair
    for messages in (turns(*contents, system="你是小墨。"), turns(*contents)):
        assert render(tokenizer, messages, True)[0] == their_ids(theirs, messages, True)


WORDS = ["[INST]", " [/INST]", "<<SYS>>\n", " 回答:", "用户: ", "##提问:\n", "<s>", "</s>", "<bos>", "<eos>"]
PARTS = st.sampled_from([*SPECIAL_TOKENS, *WORDS, "user\n", "assistant\n", "<|", "|>", "im_end", "好", "\n", " "])


@given(contents=st.lists(st.lists(PARTS).map("".join), min_size=1, max_size=4))
@settings(max_examples=50, deadline=None)
def test_no_text_becomes_a_control_token(pair: Pair, contents: list[str]) -> None:
    tokenizer, _ = pair
    ids, trained = render(tokenizer, turns(*contents), add_generation_prompt=True)
    innocent, _ = render(tokenizer, turns(*["好"] * len(contents)), add_generation_prompt=True)
    assert controls(tokenizer, ids) == controls(tokenizer, innocent)
    template = template_of(tokenizer)
    space = template.layout.answer.removesuffix("{content}{end}")
    answers = "".join(space + content.strip() + template.end for content in contents[1::2])
    assert tokenizer.decode([n for n, flag in zip(ids, trained, strict=True) if flag]) == answers


def controls(tokenizer: Tokenizer, ids: list[int]) -> list[int]:
    return [number for number in ids if number in tokenizer.special_ids]


def test_training_prefix_is_the_prompt(pair: Pair) -> None:
    """What precedes an answer in training is what the model is given when it must answer."""
    tokenizer, _ = pair
    for messages in CONVERSATIONS:
        if messages[-1]["role"] != "assistant":
            continue
        ids, trained = render(tokenizer, messages)
        prompt, untrained = render(tokenizer, messages[:-1], add_generation_prompt=True)
        assert ids[: len(prompt)] == prompt
        assert trained[: len(prompt)] == untrained
        answer = [number for number, flag in zip(ids, trained, strict=True) if flag][untrained.count(True) :]
        assert answer[-1] in template_of(tokenizer).stop_ids
        assert tokenizer.decode(answer[:-1]).strip() == messages[-1]["content"].strip()


def test_a_prompt_stays_as_it_is_where_the_tokenizer_joins_it_with_the_answer(tokenizer: Tokenizer) -> None:
    """SentencePiece merges over any border: the prompt wins, for a model is never given half of such a token."""
    vocabulary = {"a": 0, "b": 1, "ab": 2, ":": 3, " ": 4, ": ": 5, "\n": 6}
    backend = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, [("a", "b"), (":", " ")]))
    backend.add_special_tokens(["<|im_end|>", "<|endoftext|>"])
    joining = with_template(Tokenizer(tokenizer.path, backend, {}), "seed000")
    prompt, _ = render(joining, turns("b"), True)
    ids, trained = render(joining, turns("b", "a"))
    assert ids == [*prompt, 4, 0, backend.token_to_id("<|im_end|>")]
    assert trained == [False] * len(prompt) + [True] * 3


def test_the_layouts_read_as_the_sources_wrote_them(tokenizer: Tokenizer, tmp_path: Path) -> None:
    own = named(tokenizer, tmp_path)
    messages = turns("问", "答")
    texts = {name: own.decode(render(with_template(own, name), messages)[0]) for name in LAYOUTS}
    assert texts == {
        "chatml": "<|im_start|>user\n问<|im_end|>\n<|im_start|>assistant\n答<|im_end|>\n",
        "llama2": "<s>[INST] <<SYS>>\nYou are a helpful assistant. 你是一个乐于助人的助手。\n<</SYS>>\n\n"
        "问 [/INST] 答</s>",
        "seed000": "你是一个助手 用户: 问  回答: 答<|im_end|>",
        "seed003": "<s>user\n问</s>\n<s>assistant\n答</s>\n",
        "seed004": "问<bos>答<eos>",
        "phi": "##提问:\n问\n##回答:\n答</s>",
    }


def test_a_foreign_template(tokenizer: Tokenizer) -> None:
    """In ChatML's tokens it is ChatML; another is not guessed at."""

    def loaded(jinja: str | None) -> Tokenizer:
        return Tokenizer(tokenizer.path, tokenizer.backend, {"chat_template": jinja})

    assert template_of(loaded(None)).name == "chatml"
    assert template_of(loaded("{{ bos }}{% for m in messages %}<|im_start|>{{ m.role }}...")).name == "chatml"
    with pytest.raises(ValueError, match=r"its chat template is not one that Yanmo knows .*--template"):
        template_of(loaded("{{ messages[0].content }}[gMASK]"))


def test_a_tokenizer_without_turns_has_templates_without_them(tokenizer: Tokenizer) -> None:
    backend = tokenizers.Tokenizer.from_str(tokenizer.backend.to_str().replace("<|im_", "<|no_"))
    bare = Tokenizer(tokenizer.path, backend, {})
    with pytest.raises(ValueError, match=r"no <\|im_end\|>, which the chat template 'chatml' needs"):
        template_of(bare)
    assert template_of(with_template(bare, "llama2")).stop_ids == [bare.end_id]
    with pytest.raises(ValueError, match="'seed003'"):
        with_template(bare, "seed003")


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
