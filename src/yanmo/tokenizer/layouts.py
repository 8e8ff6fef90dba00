"""What the chat templates look like: ChatML and those that the sources trained with. Data only; `chat` renders them.

    chatml   <|im_start|>user\\n你好<|im_end|>\\n<|im_start|>assistant\\n您好！<|im_end|>\\n
    llama2   <s>[INST] <<SYS>>\\n...\\n<</SYS>>\\n\\n你好 [/INST] 您好！</s>            (seed 001)
    seed000  你是一个助手 用户: 你好  回答: 您好！<|im_end|>
    seed003  <s>user\\n你好</s>\\n<s>assistant\\n您好！</s>\\n
    seed004  你好<bos>您好！<eos>
    phi      ##提问:\\n你好\\n##回答:\\n您好！[EOS]

Every one ends an answer with a control token, and what begins a turn or parts question from answer in `{start}` is
one too; a layout names the tokens that it may be, and a tokenizer has the first of them that is in its vocabulary.
All other words of a template (`[INST]`, `用户:`, `##提问:`) are ordinary text, as they are in the sources, so a user
may write them as well: it imitates a turn, but is none. Only ChatML and seed003 leave nothing to imitate.

seed000, seed004 and phi were made for one question and one answer. Further exchanges follow just as the first, each
after the end token of the one before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from yanmo.tokenizer.special import TURN_END, TURN_START

Name = Literal["chatml", "llama2", "seed000", "seed003", "seed004", "phi"]


@dataclass(frozen=True)
class Layout:
    """The texts around the contents; in them stand {start}, {content} and {end}."""

    system: str
    user: str
    prompt: str
    """Before an answer: where generation begins."""
    answer: str
    """What a model is trained to say, its end included. A space in front belongs here: tokenizers join it with the
    word behind it, so at the end of a prompt it would be another token than in training."""
    start: tuple[str, ...]
    """Names of the control token in {start}, the best first."""
    end: tuple[str, ...]
    after: str = ""
    """Follows an answer and is only read."""
    default_system: str = ""
    """Said where there is no system message."""
    user_after_system: str = ""
    """Another text for the question that comes right after the system message."""
    optional_start: bool = False
    """Whether the template does without {start} where the tokenizer has none of the names."""


LAYOUTS: dict[Name, Layout] = {
    "chatml": Layout(
        system="{start}system\n{content}{end}\n",
        user="{start}user\n{content}{end}\n",
        prompt="{start}assistant\n",
        answer="{content}{end}",
        after="\n",
        start=(TURN_START,),
        end=(TURN_END,),
    ),
    "llama2": Layout(
        system="{start}[INST] <<SYS>>\n{content}\n<</SYS>>\n\n",
        user="{start}[INST] {content}",
        user_after_system="{content}",
        prompt=" [/INST]",
        answer=" {content}{end}",
        default_system="You are a helpful assistant. 你是一个乐于助人的助手。",
        start=("<s>",),
        optional_start=True,
        end=("</s>", TURN_END),
    ),
    "seed000": Layout(
        system="{content}",
        user=" 用户: {content} ",
        prompt=" 回答:",
        answer=" {content}{end}",
        default_system="你是一个助手",
        start=(),
        end=(TURN_END, "</s>"),
    ),
    "seed003": Layout(
        system="{content}",
        user="{start}user\n{content}{end}\n",
        prompt="{start}assistant\n",
        answer="{content}{end}",
        after="\n",
        start=("<s>", TURN_START),
        end=("</s>", TURN_END),
    ),
    "seed004": Layout(
        system="{content}\n",
        user="{content}",
        prompt="{start}",
        answer="{content}{end}",
        start=("<bos>", "<s>", TURN_START),
        end=("<eos>", "</s>", TURN_END),
    ),
    "phi": Layout(
        system="{content}\n",
        user="##提问:\n{content}\n",
        prompt="##回答:\n",
        answer="{content}{end}",
        start=(),
        end=("[EOS]", "</s>", TURN_END),
    ),
}
