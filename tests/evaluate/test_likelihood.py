"""Likelihood: every token scored exactly once, by the model's own log-probabilities, whatever the batching."""

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from yanmo.evaluate import likelihood as module
from yanmo.evaluate.likelihood import Likelihood, batches, likelihood, pad, stream_documents, windows
from yanmo.model.config import ModelConfig
from yanmo.model.transformer import Transformer

VOCABULARY, CONTEXT = 40, 16


@pytest.fixture(scope="module")
def model() -> Transformer:
    torch.manual_seed(0)
    shape = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, head_dim=8)
    return Transformer(ModelConfig(vocab_size=VOCABULARY, max_position_embeddings=CONTEXT, **shape))


@pytest.fixture(scope="module")
def tokenizer() -> SimpleNamespace:
    """Id 0 ends a document; every other id is one character of three bytes."""
    ones = np.minimum(np.arange(VOCABULARY), 1).astype(np.int32)
    return SimpleNamespace(end_id=0, byte_counts=lambda: 3 * ones, char_counts=lambda: ones)


def plain_nats(model: Transformer, document: list[int]) -> float:
    ids = torch.tensor([[0, *document, 0]])
    logits = model.lm_head(model(ids[:, :-1]))
    return float(-torch.log_softmax(logits, -1).gather(-1, ids[:, 1:, None]).sum().detach())


def test_documents_are_scored_from_end_token_to_end_token(model: Transformer, tokenizer: SimpleNamespace) -> None:
    documents = [[5, 6, 7], [8], [9] * 14, [3, 4], []]
    result = likelihood(model, tokenizer, documents)  # type: ignore[arg-type]
    assert result.nats == pytest.approx(sum(plain_nats(model, document) for document in documents), rel=1e-5)
    assert (result.tokens, result.characters, result.bytes) == (25, 20, 60)


def test_batching_does_not_matter(
    model: Transformer, tokenizer: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = [list(range(1, 1 + length)) for length in (1, 30, 7, 12, 39, 2)]
    at_once = likelihood(model, tokenizer, documents)  # type: ignore[arg-type]
    monkeypatch.setattr(module, "BATCH_TOKENS", 1)
    monkeypatch.setattr(module, "SORTED_TOGETHER", 2)
    singly = likelihood(model, tokenizer, documents)  # type: ignore[arg-type]
    assert singly.nats == pytest.approx(at_once.nats, rel=1e-5) and singly.tokens == at_once.tokens


@pytest.mark.parametrize("context", [1, 2, 5, 16])
@pytest.mark.parametrize("length", [0, 1, 4, 5, 6, 16, 50])
def test_windows_score_every_id_once_with_half_a_context_before(length: int, context: int) -> None:
    document = list(range(1, length + 1))
    scored = []
    for number, (ids, read) in enumerate(windows([document], 0, context)):
        assert len(ids) <= context + 1 and read >= (1 if number == 0 else context // 2)
        scored += ids[read:]
    assert scored == [*document, 0]


def test_batches_keep_every_window() -> None:
    many = [([0] * length, 1) for length in range(2, 300)]
    assert sorted(len(ids) for batch in batches(many) for ids, _ in batch) == list(range(2, 300))


def test_padding_is_no_target() -> None:
    inputs, labels = pad([([0, 5, 6, 0], 1), ([0, 7, 0], 2)], 0)
    assert inputs.tolist() == [[0, 5, 6], [0, 7, 0]]
    assert labels.tolist() == [[5, 6, 0], [-100, 0, -100]]


@pytest.mark.parametrize("chunk", [1, 2, 3, 100])
def test_stream_of_shards_is_cut_at_end_tokens(chunk: int) -> None:
    ids = np.array([4, 5, 0, 6, 0, 0, 7, 8, 0])
    tokens = SimpleNamespace(read=lambda start, stop: ids[start:stop])
    stream = type("Stream", (), {"__len__": lambda self: len(ids), "read": lambda self, a, b: tokens.read(a, b)})()
    assert list(stream_documents(stream, 0, chunk)) == [[4, 5], [6], [], [7, 8]]


def test_figures_are_in_their_units() -> None:
    figures = Likelihood(nats=8 * math.log(2), tokens=4, bytes=16, characters=8).figures()
    assert figures["perplexity"] == pytest.approx(4.0)
    assert (figures["bits_per_byte"], figures["bits_per_character"]) == pytest.approx((0.5, 1.0))


def test_uniform_model_needs_the_logarithm_of_its_vocabulary(tokenizer: SimpleNamespace, tmp_path: Path) -> None:
    model = Transformer(ModelConfig(vocab_size=VOCABULARY, hidden_size=16, intermediate_size=32, num_hidden_layers=1,
                                    num_attention_heads=2, head_dim=8, max_position_embeddings=CONTEXT))  # fmt: skip
    torch.nn.init.zeros_(model.lm_head.weight)
    result = likelihood(model, tokenizer, [[1, 2, 3]])  # type: ignore[arg-type]
    assert result.figures()["nats_per_token"] == pytest.approx(math.log(VOCABULARY))
