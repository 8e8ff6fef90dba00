"""What a model says to a few fixed prompts: the last thing a training run shows."""

from __future__ import annotations

from yanmo.model.decoding import for_decoding
from yanmo.model.generate import generate
from yanmo.model.sampling_settings import SamplingSettings
from yanmo.model.streaming import text_of
from yanmo.model.transformer import Transformer
from yanmo.tokenizer.chat import template_of
from yanmo.tokenizer.load import Tokenizer

SAMPLE_TOKENS = 64


def continuations(model: Transformer, tokenizer: Tokenizer, prompts: list[str]) -> list[dict[str, str]]:
    """A base model's continuations, greedy but for a mild repetition penalty that keeps them readable."""
    return _complete(model, tokenizer, prompts, [tokenizer.encode(p) for p in prompts], [tokenizer.end_id], 1.1)


def answers(model: Transformer, tokenizer: Tokenizer, questions: list[str]) -> list[dict[str, str]]:
    """A chat model's greedy answers."""
    turns = [[{"role": "user", "content": question}] for question in questions]
    template = template_of(tokenizer)
    ids = [template.render(messages, add_generation_prompt=True)[0] for messages in turns]
    given = _complete(model, tokenizer, questions, ids, template.stop_ids, 1.0)
    # Some layouts begin an answer with a space.
    return [answer | {"completion": answer["completion"].strip()} for answer in given]


def _complete(
    model: Transformer,
    tokenizer: Tokenizer,
    prompts: list[str],
    ids: list[list[int]],
    stop_ids: list[int],
    repetition_penalty: float,
) -> list[dict[str, str]]:
    if not prompts:
        return []
    settings = SamplingSettings(temperature=0.0, repetition_penalty=repetition_penalty, max_new_tokens=SAMPLE_TOKENS)
    completions = generate(for_decoding(model), ids, settings, stop_ids)
    return [
        {"prompt": prompt, "completion": text_of(completion.ids, tokenizer.token_bytes), "finish": completion.finish}
        for prompt, completion in zip(prompts, completions, strict=True)
    ]
