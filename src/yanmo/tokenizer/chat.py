"""The chat template, once: as ids for training and inference, and as Jinja for everybody else.

    <|im_start|>user\\n你好<|im_end|>\\n<|im_start|>assistant\\n你好！<|im_end|>\\n

A `Template` is a layout with one tokenizer's control tokens. A model's own is known by its Jinja text, which travels
with the tokenizer, so whoever has a model's directory renders as it was trained.

Ids are put together piece by piece and never found by searching a text, so what a user writes cannot become a
control token, and the tokens a model is trained after are exactly those it is prompted with. A test holds
`render` and the Jinja (as `transformers` renders it) id-equal.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from string import Formatter
from typing import NamedTuple

from yanmo.tokenizer.layouts import LAYOUTS, Layout, Name
from yanmo.tokenizer.load import Tokenizer
from yanmo.tokenizer.special import TURN_END, TURN_START

ROLES = ("system", "user", "assistant")
CHUNK = 256
"""Conversations encoded together: enough to feed every thread, few enough to stay small."""

Message = Mapping[str, str]
Rendered = tuple[list[int], list[bool]]


class Run(NamedTuple):
    """Text up to the next control token: first what is only read, then what is trained. It is encoded as one, as
    other libraries encode it: some tokenizers put a space before every text."""

    read: str
    trained: str
    control: int | None
    taught: bool
    """Whether the control token is trained."""


class Template:
    """How conversations are laid out for one tokenizer.

    Raises: ValueError: the tokenizer lacks a control token that the layout needs.
    """

    def __init__(self, name: Name, tokenizer: Tokenizer) -> None:
        self.name, self.layout, self.tokenizer = name, LAYOUTS[name], tokenizer
        start = _control(tokenizer, self.layout.start)
        # Any end will do: a model that learns it stops there. ChatML alone is that of its tokens.
        end = _control(tokenizer, self.layout.end) or (None if name == "chatml" else _document_end(tokenizer))
        needs_start = bool(self.layout.start) and not self.layout.optional_start
        if end is None or (needs_start and start is None):
            lacking = self.layout.start if end else self.layout.end
            raise ValueError(
                f"{tokenizer.path}: the tokenizer has no {' or '.join(lacking)}, which the chat template {name!r} "
                f"needs; `yanmo sft --template llama2` needs none of its own"
            )
        self.start, self.end = start or "", end
        self.end_id: int = tokenizer.backend.token_to_id(self.end)  # type: ignore[assignment]  # it is there
        self._ids = {"start": tokenizer.backend.token_to_id(self.start), "end": self.end_id}
        self.jinja = to_jinja(self.layout, self.start, self.end)

    @property
    def stop_ids(self) -> list[int]:
        """What ends an answer: the template's end, or a document's."""
        return list(dict.fromkeys([self.end_id, self.tokenizer.end_id]))

    def render(self, messages: Sequence[Message], add_generation_prompt: bool = False) -> Rendered:
        """See the function of this name."""
        ((ids, trained),) = self._encoded([list(self._runs(messages, add_generation_prompt))])
        return ids, trained

    def render_all(self, conversations: Iterable[Sequence[Message]]) -> Iterator[Rendered]:
        """`render` for many conversations, in order; texts are encoded in batches, which is much faster."""
        iterator = iter(conversations)
        while chunk := list(itertools.islice(iterator, CHUNK)):
            yield from self._encoded([list(self._runs(messages, False)) for messages in chunk])

    def _runs(self, messages: Sequence[Message], add_generation_prompt: bool) -> Iterator[Run]:
        read = trained = ""
        for form, content, is_trained in self._parts(messages, add_generation_prompt):
            for kind, literal in _pieces(form):
                if kind in self._ids:
                    if self._ids[kind] is not None:
                        yield Run(read, trained, self._ids[kind], is_trained)
                        read = trained = ""
                elif is_trained:
                    trained += content if kind == "content" else literal
                else:
                    read += content if kind == "content" else literal
        if read:
            yield Run(read, trained, None, False)

    def _parts(self, messages: Sequence[Message], add_generation_prompt: bool) -> Iterator[tuple[str, str, bool]]:
        """The layout's texts in order, each with what its {content} is and whether it is trained."""
        layout = self.layout
        before = ""
        if layout.default_system and messages[0]["role"] != "system":
            yield layout.system, layout.default_system, False
            before = "system"
        for message in messages:
            role, content = message["role"], message["content"].strip()
            if role == "system":
                yield layout.system, content, False
            elif role == "user":
                yield (before == "system" and layout.user_after_system) or layout.user, content, False
            elif role == "assistant":
                yield layout.prompt, "", False
                yield layout.answer, content, True
                yield layout.after, "", False
            else:
                raise ValueError(f"a message has the role {role!r}; known are {', '.join(ROLES)}")
            before = role
        if add_generation_prompt:
            yield layout.prompt, "", False

    def _encoded(self, conversations: Sequence[Sequence[Run]]) -> Iterator[Rendered]:
        texts = {text for runs in conversations for run in runs for text in (run.read, run.read + run.trained)}
        ordered = sorted(texts - {""})
        ids_of = dict(zip(ordered, self.tokenizer.encode_batch(ordered), strict=True)) | {"": []}
        for runs in conversations:
            ids: list[int] = []
            trained: list[bool] = []
            for run in runs:
                head, whole = ids_of[run.read], ids_of[run.read + run.trained]
                if whole[: len(head)] != head:  # this tokenizer joins the two; a prompt has only the first
                    whole = head + self.tokenizer.encode(run.trained)
                ids += whole
                trained += [False] * len(head) + [True] * (len(whole) - len(head))
                if run.control is not None:
                    ids.append(run.control)
                    trained.append(run.taught)
            yield ids, trained


@functools.lru_cache(maxsize=8)
def template_of(tokenizer: Tokenizer) -> Template:
    """The template that a model with this tokenizer was trained with; ChatML where there is none yet.

    A foreign template in ChatML's tokens, such as Qwen's, counts as ChatML.
    Raises: ValueError: the tokenizer has a chat template that is not known here, or lacks ChatML's tokens.
    """
    jinja = tokenizer.config.get("chat_template")
    for name, layout in LAYOUTS.items():
        start, end = _control(tokenizer, layout.start), _control(tokenizer, layout.end) or _document_end(tokenizer)
        if jinja == to_jinja(layout, start or "", end):
            return Template(name, tokenizer)
    if jinja and TURN_START not in str(jinja):
        raise ValueError(
            f"{tokenizer.path}: its chat template is not one that Yanmo knows ({', '.join(LAYOUTS)}); "
            "`yanmo sft --template NAME` teaches the model one of them"
        )
    return Template("chatml", tokenizer)


def with_template(tokenizer: Tokenizer, name: Name) -> Tokenizer:
    """The tokenizer with another chat template; the end that it configures is the template's."""
    template = Template(name, tokenizer)
    config = tokenizer.config | {"chat_template": template.jinja, "eos_token": template.end}
    return Tokenizer(tokenizer.path, tokenizer.backend, config)


def render(tokenizer: Tokenizer, messages: Sequence[Message], add_generation_prompt: bool = False) -> Rendered:
    """Ids of a conversation in the model's own template, and for each whether a model is trained to produce it.

    Trained is the content of every assistant turn and the end token after it: not what follows, not the headers.
    With `add_generation_prompt` the ids end where the assistant's next answer begins.

    Raises: ValueError: a role is not one of `ROLES`, or the tokenizer has not what its template needs.
    """
    return template_of(tokenizer).render(messages, add_generation_prompt)


def render_all(tokenizer: Tokenizer, conversations: Iterable[Sequence[Message]]) -> Iterator[Rendered]:
    """`render` for many conversations, in order."""
    return template_of(tokenizer).render_all(conversations)


def oldest_exchange(messages: Sequence[Message]) -> slice | None:
    """Which messages are the oldest exchange: a user turn and what follows it; system turns at the start stay.

    None when there is only one exchange left: what a limit on length cannot take away in whole turns.
    """
    asked = [index for index, message in enumerate(messages) if message["role"] == "user"]
    if len(asked) < 2:
        return None
    return slice(next(index for index, message in enumerate(messages) if message["role"] != "system"), asked[1])


# Layouts as pieces and as Jinja


@functools.cache
def _pieces(form: str) -> list[tuple[str, str]]:
    """A layout's text taken apart: ("text", literal), ("content", ""), ("start", "") or ("end", "")."""
    pieces = []
    for literal, field, _, _ in Formatter().parse(form):
        pieces += [("text", literal)] if literal else []
        pieces += [(field, "")] if field else []
    return pieces


def to_jinja(layout: Layout, start: str, end: str) -> str:
    """The template for `transformers`, llama.cpp and everybody else who reads `tokenizer_config.json`."""

    def text(form: str, content: str = "message.content | trim") -> str:
        words = {"start": repr(start), "end": repr(end), "content": f"({content})"}
        parts = [words.get(kind, repr(literal)) for kind, literal in _pieces(form)]
        return f"{{{{ {' + '.join(part for part in parts if part != repr(''))} }}}}" if parts else ""

    default, user = "", text(layout.user)
    if layout.default_system:
        said = text(layout.system, repr(layout.default_system))
        default = f"{{% if messages[0].role != 'system' %}}{said}{{% endif %}}"
    if layout.user_after_system:
        first = "{% if loop.first or loop.previtem.role == 'system' %}"
        user = f"{first}{text(layout.user_after_system)}{{% else %}}{user}{{% endif %}}"
    return (
        f"{default}{{% for message in messages %}}"
        f"{{% if message.role == 'system' %}}{text(layout.system)}"
        f"{{% elif message.role == 'user' %}}{user}"
        f"{{% else %}}{text(layout.prompt + layout.answer + layout.after)}{{% endif %}}"
        f"{{% endfor %}}{{% if add_generation_prompt %}}{text(layout.prompt)}{{% endif %}}"
    )


JINJA = to_jinja(LAYOUTS["chatml"], TURN_START, TURN_END)
"""ChatML's, which every tokenizer of ours begins with."""


def _control(tokenizer: Tokenizer, names: Iterable[str]) -> str | None:
    """The first of the names that is a control token of the vocabulary."""
    return next((name for name in names if tokenizer.backend.token_to_id(name) in tokenizer.special_ids), None)


def _document_end(tokenizer: Tokenizer) -> str:
    token = tokenizer.backend.id_to_token(tokenizer.end_id)
    assert token is not None
    return token
