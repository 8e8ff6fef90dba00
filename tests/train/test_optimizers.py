"""Muon against torch's own, the grouping of parameters, and state that survives a file."""

from __future__ import annotations

import pytest
import torch

from yanmo.model.config import ModelConfig
from yanmo.model.transformer import Transformer
from yanmo.train.optimizers import (
    Muon,
    build_optimizers,
    load_optimizer_tensors,
    optimizer_tensors,
    orthogonalise,
    set_learning_rate,
)
from yanmo.train.settings import TrainSettings


@pytest.mark.parametrize("shape", [(16, 16), (48, 16), (16, 48)])
def test_muon_equals_torchs(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    ours = [torch.nn.Parameter(torch.randn(shape)) for _ in range(3)]
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    a = Muon(ours, lr=0.01, momentum=0.95, weight_decay=0.1)
    b = torch.optim.Muon(theirs, lr=0.01, momentum=0.95, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(4):
        for mine, other in zip(ours, theirs, strict=True):
            mine.grad = torch.randn(shape)
            other.grad = mine.grad.clone()
        a.step()
        b.step()
    for mine, other in zip(ours, theirs, strict=True):
        # Newton-Schulz runs in bf16 and a batched product rounds in another order than a single one.
        torch.testing.assert_close(mine, other, atol=3e-4, rtol=0)


def test_orthogonalised_singular_values_are_near_one() -> None:
    torch.manual_seed(0)
    result = orthogonalise(torch.randn(2, 40, 24)).float()
    values = torch.linalg.svdvals(result)
    assert values.min() > 0.5 and values.max() < 1.3


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_every_parameter_is_trained_once_and_vectors_do_not_decay(tied: bool, optimizer: str) -> None:
    model = Transformer(ModelConfig(vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
                                    tie_word_embeddings=tied))  # fmt: skip
    optimizers = build_optimizers(model, TrainSettings(optimizer=optimizer, weight_decay=0.1))  # type: ignore[arg-type]
    groups = [group for o in optimizers for group in o.param_groups]
    trained = [p for group in groups for p in group["params"]]
    assert {id(p) for p in trained} == {id(p) for p in model.parameters()}
    assert len(trained) == len(list(model.parameters()))
    assert all(group["weight_decay"] == 0 for group in groups for p in group["params"] if p.ndim < 2)
    set_learning_rate(optimizers, 0.5)
    assert all(group["lr"] == group["peak_lr"] / 2 for group in groups)


def test_optimizer_state_survives_a_round_trip() -> None:
    def step(model: Transformer, optimizers: list[torch.optim.Optimizer]) -> None:
        for p in model.parameters():
            p.grad = torch.randn(p.shape, generator=generator)
        for optimizer in optimizers:
            optimizer.step()

    config = ModelConfig(vocab_size=64, hidden_size=32, num_hidden_layers=1, num_attention_heads=2)
    model, generator = Transformer(config), torch.Generator().manual_seed(0)
    optimizers = build_optimizers(model, TrainSettings())
    step(model, optimizers)
    tensors = {name: t.clone() for name, t in optimizer_tensors(optimizers, model).items()}
    twin = Transformer(config)
    twin.load_state_dict(model.state_dict())
    again = build_optimizers(twin, TrainSettings())
    load_optimizer_tensors(again, twin, tensors)
    random = generator.get_state()
    step(model, optimizers)
    generator.set_state(random)
    step(twin, again)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, twin.state_dict()[name]), name


def test_state_for_an_unknown_parameter_is_refused() -> None:
    model = Transformer(ModelConfig(vocab_size=64, hidden_size=32, num_hidden_layers=1, num_attention_heads=2))
    with pytest.raises(ValueError, match=r"model\.layers\.9"):
        load_optimizer_tensors(
            build_optimizers(model, TrainSettings()), model, {"model.layers.9.x/exp_avg": torch.zeros(1)}
        )
