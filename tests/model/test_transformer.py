"""The network equals transformers' in all three families, starts as it should, keeps packed documents apart."""

import pytest
import torch
import transformers

from tests.model.conftest import FAMILIES, TINY, random_ids, tiny
from yanmo.model.config import ARCHITECTURES, ModelConfig
from yanmo.model.transformer import Transformer, zero_residual_projections

VARIANTS = [
    {},
    {"num_key_value_heads": 2, "tie_word_embeddings": False},
    {"num_key_value_heads": 1, "rope_theta": 500.0, "head_dim": 12},
    {"rms_norm_eps": 1e-3, "hidden_act": "relu2"},
]


def reference(config: ModelConfig) -> torch.nn.Module:
    table = config.to_hf()
    family = getattr(transformers, ARCHITECTURES[table.pop("model_type")])
    return family(family.config_class(**table)).eval()


def logits(model: Transformer, *arguments, **keywords) -> torch.Tensor:
    with torch.no_grad():
        return model.lm_head(model(*arguments, **keywords))


@pytest.mark.parametrize("changes", VARIANTS)
@pytest.mark.parametrize("family", FAMILIES)
def test_parity_with_transformers_both_ways(family: str, changes: dict) -> None:
    ours, ids = tiny(family, **changes), random_ids(2, 20)
    theirs = reference(ours.config)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    with torch.no_grad():
        torch.testing.assert_close(logits(ours, ids), theirs(ids).logits, atol=1e-4, rtol=0)
        for parameter in theirs.parameters():
            parameter.normal_(0, 0.3)
        ours.load_state_dict(theirs.state_dict(), strict=True)
        torch.testing.assert_close(logits(ours, ids), theirs(ids).logits, atol=1e-4, rtol=0)


def test_initial_weights() -> None:
    torch.manual_seed(0)
    config = ModelConfig(vocab_size=2048, hidden_size=256, num_hidden_layers=8, qk_norm=False, qkv_bias=True)
    for name, weight in Transformer(config).named_parameters():
        if "norm" in name:
            assert (weight == 1).all()
        elif name.endswith("bias"):
            assert (weight == 0).all()
        else:
            residual = "o_proj" in name or "down_proj" in name
            assert weight.std().item() == pytest.approx(0.02 / 4 if residual else 0.02, rel=0.05), name


def test_zeroed_residual_projections_make_blocks_the_identity(model: Transformer) -> None:
    zero_residual_projections(model)
    ids = random_ids(1, 5)
    expected = model.model.norm(model.model.embed_tokens(ids))
    torch.testing.assert_close(model(ids), expected)


def packed_row() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids, segments and positions of documents of 5, 9 and 6 tokens in one row."""
    lengths = torch.tensor([5, 9, 6])
    segments = torch.repeat_interleave(torch.arange(3), lengths)[None].int()
    positions = torch.cat([torch.arange(length) for length in lengths])[None]
    return random_ids(1, 20), segments, positions


def test_packed_documents_do_not_see_each_other(model: Transformer) -> None:
    ids, segments, positions = packed_row()
    packed = logits(model, ids, position_ids=positions, segments=segments)
    changed = torch.where(segments == 0, (ids + 1) % TINY.vocab_size, ids)
    again = logits(model, changed, position_ids=positions, segments=segments)
    assert (packed[:, :5] - again[:, :5]).abs().max() > 0.01
    torch.testing.assert_close(packed[:, 5:], again[:, 5:], atol=1e-5, rtol=0)
    for start, stop in ((0, 5), (5, 14), (14, 20)):
        torch.testing.assert_close(packed[:, start:stop], logits(model, ids[:, start:stop]), atol=1e-5, rtol=0)


def test_attention_is_causal(model: Transformer) -> None:
    ids = random_ids(1, 12)
    changed = ids.clone()
    changed[:, 8] = (ids[:, 8] + 1) % TINY.vocab_size
    before, after = logits(model, ids), logits(model, changed)
    torch.testing.assert_close(before[:, :8], after[:, :8], atol=1e-6, rtol=0)
    assert (before[:, 8:] - after[:, 8:]).abs().amax(-1).min() > 1e-3


def test_compute_dtype_leaves_masters_and_gradients_in_fp32(model: Transformer) -> None:
    ids, exact = random_ids(2, 10), None
    exact = logits(model, ids)
    model.compute_dtype = torch.bfloat16
    hidden = model(ids)
    assert hidden.dtype == torch.bfloat16
    output = model.lm_head(hidden)
    assert output.dtype == torch.bfloat16
    assert ((output - exact).norm() / exact.norm()).item() < 0.05
    output.float().logsumexp(-1).mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.dtype == torch.float32 and parameter.grad is not None, name
        assert parameter.grad.dtype == torch.float32 and parameter.grad.abs().max() > 0, name


def test_tied_head_is_one_parameter() -> None:
    model = tiny()
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert "lm_head.weight" in model.state_dict()
    assert "lm_head.weight" not in dict(model.named_parameters())


@pytest.mark.slow
def test_all_blocks_share_one_compiled_graph(model: Transformer) -> None:
    compiled = []

    def backend(graph: torch.fx.GraphModule, inputs: list) -> object:
        compiled.append(graph)
        return graph.forward

    torch._dynamo.reset()
    ids, segments, positions = packed_row()
    expected = logits(model, ids, position_ids=positions, segments=segments)
    for layer in model.model.layers:
        layer.compile(backend=backend, fullgraph=True)
    actual = logits(model, ids, position_ids=positions, segments=segments)
    torch.testing.assert_close(actual, expected)
    assert len(compiled) == 1
    assert not any(name.startswith("_orig_mod") or "._orig_mod" in name for name in model.state_dict())
