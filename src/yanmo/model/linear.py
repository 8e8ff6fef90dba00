"""The matrix product of the network: fp32 master weights, cast to the activations' dtype where they are used.

Autocast decides per operator and keeps a cache of casts; here the dtype is a property of the activations alone,
so the same module trains in bf16 over fp32 masters, runs in pure bf16 and runs in fp32 with nothing to switch.
"""

import torch.nn.functional as F
from torch import Tensor, nn


class Linear(nn.Linear):
    """`nn.Linear` whose parameters follow the input's dtype: (..., in_features) -> (..., out_features)."""

    def forward(self, input: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(input.dtype)
        return F.linear(input, self.weight.to(input.dtype), bias)
