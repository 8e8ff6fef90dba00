"""The matrix product of the network: fp32 master weights, cast to what the product runs in where they are used.

Autocast decides per operator and keeps a cache of casts; here the dtype is a property of the activations alone,
so the same module trains in bf16 over fp32 masters, runs in pure bf16 and runs in fp32 with nothing to switch.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from yanmo.core.device import product_dtype


class Linear(nn.Linear):
    """`nn.Linear` whose parameters follow the input's dtype: (..., in_features) -> (..., out_features)."""

    def forward(self, input: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(input.dtype)
        if input.device.type == "cpu" and input.dtype.itemsize < self.weight.dtype.itemsize:
            output = _MixedOnCPU.apply(input, self.weight)
            return output if bias is None else output + bias
        return F.linear(input, self.weight.to(input.dtype), bias)

    def folded(self) -> Tensor:
        """The one matrix (out_features, in_features) that this layer multiplies by, adapters included."""
        return self.weight.detach()


class _MixedOnCPU(torch.autograd.Function):
    """x (..., K) in bf16 or fp16, weight (N, K) in fp32 -> x @ weight.T (..., N) in x's dtype.

    Differs from autograd's own in what it keeps and in one layout: only the narrow x is saved when the product
    runs in fp32 (`product_dtype`), and the weight's gradient is x.T @ g, which oneDNN multiplies 1.3 to 1.6
    times as fast as g.T @ x on AMX.
    """

    @staticmethod
    def forward(ctx: Any, input: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(input, weight)
        dtype = product_dtype("cpu", input.dtype)
        return F.linear(input.to(dtype), weight.to(dtype)).to(input.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        input, weight = ctx.saved_tensors
        dtype = product_dtype("cpu", input.dtype)
        gradient = gradient.to(dtype)
        d_input = d_weight = None
        if ctx.needs_input_grad[0]:
            d_input = (gradient @ weight.to(dtype)).to(input.dtype)
        if ctx.needs_input_grad[1]:
            rows, columns = input.to(dtype).flatten(0, -2), gradient.flatten(0, -2)
            if dtype == torch.float32:
                d_weight = (columns.t() @ rows).to(weight.dtype)
            else:
                transposed = rows.t().contiguous() @ columns
                d_weight = transposed.t().to(weight.dtype, memory_format=torch.contiguous_format)
        return d_input, d_weight
