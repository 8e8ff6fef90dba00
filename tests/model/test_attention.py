"""Packed attention: the CPU's block rows against torch's own attention, and what a document may see."""

import pytest
import torch

from yanmo.model import attention
from yanmo.model.attention import masked_attention, packed_attention


def example(heads=4, groups=2, tokens=300, width=8, dtype=torch.float64, documents=(7, 0, 120, 128, 1, 44)):
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, heads, tokens, width)] + 2 * [(2, groups, tokens, width)]
    tensors = [
        torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_() for shape in shapes
    ]
    lengths = torch.tensor([documents, documents[::-1]])
    segments = torch.stack([torch.repeat_interleave(torch.arange(len(row)), row) for row in lengths]).int()
    assert segments.shape == (2, tokens)
    return *tensors, segments


def with_gradients(function, query, key, value, segments):
    output = function(query, key, value, segments)
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return output.detach(), *torch.autograd.grad((output * weights).sum(), (query, key, value))


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("block", [16, 128, 512])
def test_equals_torch_in_float64(monkeypatch, groups, packed, block):
    monkeypatch.setattr(attention, "BLOCK", block)
    query, key, value, segments = example(groups=groups)
    segments = segments if packed else None
    ours = with_gradients(packed_attention, query, key, value, segments)
    reference = with_gradients(masked_attention, query, key, value, segments)
    for mine, exact in zip(ours, reference, strict=True):
        torch.testing.assert_close(mine, exact)


@pytest.mark.parametrize("product", [torch.float32, torch.bfloat16])
def test_bf16_is_as_close_as_bf16_is(monkeypatch, product):
    monkeypatch.setattr(attention, "product_dtype", lambda device_type, dtype: product)
    *tensors, segments = example(dtype=torch.bfloat16)
    exact = [tensor.detach().double().requires_grad_() for tensor in tensors]
    ours = with_gradients(packed_attention, *tensors, segments)
    for mine, reference in zip(ours, with_gradients(masked_attention, *exact, segments), strict=True):
        assert mine.dtype == torch.bfloat16
        assert (mine - reference).norm() < 0.02 * reference.norm()


def test_gradcheck():
    query, key, value, _ = example(tokens=5, width=2, documents=(2, 3))
    segments = torch.tensor([[0, 0, 1, 1, 1]] * 2)
    assert torch.autograd.gradcheck(lambda *x: packed_attention(*x, segments), (query, key, value))


def test_the_operator_is_fit_for_compilation():
    query, key, value, segments = example(tokens=40, documents=(10, 30))
    torch.library.opcheck(torch.ops.yanmo.packed_attention, (query, key, value, segments))
    torch.library.opcheck(torch.ops.yanmo.packed_attention, (query, key, value, None))


def test_what_is_outside_a_document_does_not_matter():
    query, key, value, segments = example()
    before = packed_attention(query, key, value, segments)
    other = segments[0] != segments[0, 150]
    with torch.no_grad():
        key[0, :, other], value[0, :, other] = 1e3, -1e3
    after = packed_attention(query, key, value, segments)
    assert torch.equal(before[0, :, ~other], after[0, :, ~other])
    assert not torch.equal(before[0, :, other], after[0, :, other])


def test_strided_heads():
    """Heads as a projection leaves them, (B, T, H, D) in memory, and a gradient in that layout too."""
    *tensors, segments = example()
    strided = [x.detach().transpose(1, 2).contiguous().transpose(1, 2).requires_grad_() for x in tensors]
    ours = with_gradients(packed_attention, *strided, segments)
    for mine, exact in zip(ours, with_gradients(packed_attention, *tensors, segments), strict=True):
        torch.testing.assert_close(mine, exact)
    assert ours[0].transpose(1, 2).is_contiguous()
