"""Choices of device and dtype, and compiled blocks: the same numbers, names and one compilation for all."""

import pytest
import torch

from yanmo.core import device as hardware
from yanmo.core.device import can_compile, choose_device, choose_dtype, compile_blocks, product_dtype
from yanmo.model.config import ModelConfig
from yanmo.model.transformer import Transformer
from yanmo.train.losses import next_token_loss

CPU = torch.device("cpu")


def test_a_missing_gpu_is_a_mistake_of_the_settings(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == CPU
    with pytest.raises(ValueError, match="cuda asked for"):
        choose_device("cuda")


def test_dtypes():
    assert choose_dtype("fp16", CPU) == torch.float16
    assert choose_dtype("auto", CPU) == torch.bfloat16


@pytest.mark.parametrize(("bf16", "product"), [(50.0, torch.float32), (200.0, torch.bfloat16)])
def test_products_run_in_what_the_cpu_is_faster_at(monkeypatch, bf16, product):
    monkeypatch.setattr(
        hardware, "matmul_flops", lambda device, dtype, *_, **__: bf16 if dtype == torch.bfloat16 else 100.0
    )
    hardware._faster_than_fp32.cache_clear()
    try:
        assert product_dtype("cpu", torch.bfloat16) == product
        assert product_dtype("cuda", torch.bfloat16) == torch.bfloat16
        assert product_dtype("cpu", torch.float64) == torch.float64
    finally:
        hardware._faster_than_fp32.cache_clear()


@pytest.mark.slow
@pytest.mark.skipif(not can_compile(CPU), reason="needs a C++ compiler")
def test_compiled_blocks_are_the_same_model():
    torch.manual_seed(0)
    config = ModelConfig(
        vocab_size=101,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    models = [Transformer(config) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    names = list(models[0].state_dict())
    tokens = torch.randint(101, (2, 34))
    batch = {
        "input_ids": tokens[:, :-1],
        "labels": tokens[:, 1:],
        "position_ids": torch.arange(33).expand(2, -1),
        "segments": (torch.arange(33) // 20).expand(2, -1).int(),
    }
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    compile_blocks(models[1].model.layers)
    losses = []
    for model in models:
        model.compute_dtype = torch.bfloat16
        losses.append(next_token_loss(model, batch)[0])
        losses[-1].backward()
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    assert list(models[1].state_dict()) == names
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-3, atol=0)
    for (name, mine), reference in zip(models[1].named_parameters(), models[0].parameters(), strict=True):
        difference = (mine.grad - reference.grad).norm() / reference.grad.norm()
        assert difference < 0.02, f"{name}: {difference}"
