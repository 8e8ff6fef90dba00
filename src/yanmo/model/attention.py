"""Causal attention over packed documents: several documents lie behind one another in a row and must not see each other."""

import torch
import torch.nn.functional as F
from torch import Tensor


def packed_attention(query: Tensor, key: Tensor, value: Tensor, segments: Tensor | None) -> Tensor:
    """Softmax attention, causal within each document.

    query (B, H, T, D), key and value (B, Hkv, T, D) with H a multiple of Hkv (grouped-query attention,
    https://arxiv.org/abs/2305.13245); segments (B, T) numbers the document of each token, None = one document a row.
    Returns (B, H, T, D).
    """
    grouped = query.shape[1] != key.shape[1]
    if segments is None:
        return F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=grouped)
    tokens = query.shape[2]
    same = segments[:, :, None] == segments[:, None, :]
    mask = same & torch.ones(tokens, tokens, dtype=torch.bool, device=segments.device).tril()
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None], enable_gqa=grouped)
