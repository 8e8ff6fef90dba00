"""The chat template, once: ChatML as ids for training and inference, and as Jinja for everybody else.

    <|im_start|>user\\n你好<|im_end|>\\n<|im_start|>assistant\\n你好！<|im_end|>\\n

Ids are put together piece by piece and never found by searching a text, so what a user writes cannot become a
control token, and the tokens a model is trained after are exactly those it is prompted with. A test holds
`render` and `JINJA` (as `transformers` renders it) id-equal.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

from yanmo.tokenizer.load import Tokenizer
from yanmo.tokenizer.special import TURN_END, TURN_START

ROLES = ("system", "user", "assistant")
CHUNK = 256
"""Conversations encoded together: enough to feed every thread, few enough to stay small."""

Message = Mapping[str, str]
Rendered = tuple[list[int], list[bool]]

JINJA = (
    "{% for message in messages %}"
    f"{{{{ '{TURN_START}' + message.role + '\\n' + (message.content | trim) + '{TURN_END}\\n' }}}}"
    "{% endfor %}"
    f"{{% if add_generation_prompt %}}{{{{ '{TURN_START}assistant\\n' }}}}{{% endif %}}"
)


def render(tokenizer: Tokenizer, messages: Sequence[Message], add_generation_prompt: bool = False) -> Rendered:
    """Ids of a conversation, and for each whether a model is trained to produce it.

    Trained is the content of every assistant turn and the `<|im_end|>` after it: not the newline that follows,
    not the headers. With `add_generation_prompt` the ids end where the assistant's next answer begins.

    Raises: ValueError: a role is not one of `ROLES`, or the tokenizer has no turn tokens.
    """
    ((ids, trained),) = render_all(tokenizer, [messages])
    if add_generation_prompt:
        header = _header(tokenizer, "assistant")
        ids, trained = ids + header, trained + [False] * len(header)
    return ids, trained


def render_all(tokenizer: Tokenizer, conversations: Iterable[Sequence[Message]]) -> Iterator[Rendered]:
    """`render` for many conversations, in order; contents are encoded in batches, which is much faster."""
    openings = {role: tokenizer.encode(f"{role}\n") for role in ROLES}
    newline = tokenizer.encode("\n")
    iterator = iter(conversations)
    while chunk := list(itertools.islice(iterator, CHUNK)):
        # Role and content in one text, as in the Jinja: some tokenizers put a space before every text.
        turns = [f"{m['role']}\n{m['content'].strip()}" for messages in chunk for m in messages]
        encoded = iter(tokenizer.encode_batch(turns))
        for messages in chunk:
            ids: list[int] = []
            trained: list[bool] = []
            for message in messages:
                role = message["role"]
                if role not in openings:
                    raise ValueError(f"a message has the role {role!r}; known are {', '.join(ROLES)}")
                turn, opening = next(encoded), openings[role]
                if turn[: len(opening)] != opening:
                    raise ValueError(
                        f"{tokenizer.path}: the tokenizer joins the line end after a role with what follows"
                    )
                ids += [tokenizer.turn_start_id, *turn, tokenizer.turn_end_id, *newline]
                trained += [False] * (1 + len(opening))
                trained += [role == "assistant"] * (len(turn) - len(opening) + 1) + [False] * len(newline)
            yield ids, trained


def oldest_exchange(messages: Sequence[Message]) -> slice | None:
    """Which messages are the oldest exchange: a user turn and what follows it; system turns at the start stay.

    None when there is only one exchange left: what a limit on length cannot take away in whole turns.
    """
    asked = [index for index, message in enumerate(messages) if message["role"] == "user"]
    if len(asked) < 2:
        return None
    return slice(next(index for index, message in enumerate(messages) if message["role"] != "system"), asked[1])


def _header(tokenizer: Tokenizer, role: str) -> list[int]:
    return [tokenizer.turn_start_id, *tokenizer.encode(f"{role}\n")]
