"""The output head and the loss behind it, a chunk of tokens at a time.

The head is the largest product of a small model: logits of a batch of 4,096 tokens over a vocabulary of 64,793 are
one gigabyte in fp32, and their gradient another. So `linear_cross_entropy` goes through the tokens in chunks and
takes the gradient of a chunk while its logits are at hand, so that one chunk's logits live at any moment (the idea
of Cut Your Losses, arXiv:2411.09009, and of Liger Kernel, arXiv:2410.10989). `label_log_probs`, for losses that need
each token's log-probability before they know its gradient, computes the logits once more on the way back;
`label_log_probs_and_entropies` gives the entropy of each token's distribution beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from yanmo.core.device import product_dtype
from yanmo.model.labels import IGNORE

CHUNK_BYTES = 8 << 20
"""Logits at once on a CPU: few enough to stay in the cache, enough rows for a product at full speed."""
CHUNK_BYTES_CUDA = 256 << 20
MULTIPLE = 64
"""Vocabulary is padded to this: logits of an odd width cost a bf16 product on AMX a third of its speed."""


def linear_cross_entropy(hidden: Tensor, weight: Tensor, labels: Tensor, chunk: int | None = None) -> Tensor:
    """Sum of -log softmax(hidden @ weight.T)[label] over the labels that are not IGNORE, in nats.

    hidden (..., D) in any dtype, weight (V, D), labels (...) int64; the logits of `chunk` tokens live
    at once. Returns a scalar, fp32 (fp64 for fp64 input). Gradients are computed in the forward pass, and a
    second backward through the same result is not possible.
    """
    hidden, labels = hidden.flatten(0, -2), labels.flatten()
    if torch.is_grad_enabled() and (hidden.requires_grad or weight.requires_grad):
        return _LinearCrossEntropy.apply(hidden, weight, labels, chunk)
    return token_losses(hidden, weight, labels, chunk).sum()


@torch.no_grad()
def token_losses(hidden: Tensor, weight: Tensor, labels: Tensor, chunk: int | None = None) -> Tensor:
    """Nats of every label (...), 0 where it is IGNORE, without gradient; shapes as `linear_cross_entropy`."""
    flat, targets = hidden.flatten(0, -2), labels.flatten()
    head = _Head(flat, weight)
    losses = flat.new_zeros(len(flat), dtype=head.sum_dtype)
    for rows in _chunks(targets, chunk or head.chunk):
        losses[rows], _ = head.losses(flat[rows], targets[rows])
    return losses.view(labels.shape)


def label_log_probs(hidden: Tensor, weight: Tensor, labels: Tensor, chunk: int | None = None) -> Tensor:
    """log softmax(hidden @ weight.T)[label] of every label (...), 0 where it is IGNORE, with gradient; shapes as
    `linear_cross_entropy`."""
    return _LabelLogProbs.apply(hidden.flatten(0, -2), weight, labels.flatten(), chunk).view(labels.shape)


def label_log_probs_and_entropies(
    hidden: Tensor, weight: Tensor, labels: Tensor, chunk: int | None = None
) -> tuple[Tensor, Tensor]:
    """`label_log_probs`, and the entropy in nats of the distribution that each label was chosen from; both (...),
    0 where the label is IGNORE, both with gradient."""
    flat = hidden.flatten(0, -2)
    log_probs, entropies = _LabelLogProbsAndEntropies.apply(flat, weight, labels.flatten(), chunk)
    return log_probs.view(labels.shape), entropies.view(labels.shape)


def _chunks(labels: Tensor, size: int) -> Iterator[slice | Tensor]:
    """The rows that have a target, `size` at a time: slices, which copy nothing, if that is all of them."""
    targets = (labels != IGNORE).nonzero().squeeze(1)
    if len(targets) == len(labels):
        yield from (slice(start, start + size) for start in range(0, len(labels), size))
    else:
        yield from targets.split(size) if len(targets) else ()


class _Head:
    """The output projection as the products want it: their dtype, rows padded to a round number."""

    def __init__(self, hidden: Tensor, weight: Tensor):
        self.dtype = product_dtype(hidden.device.type, hidden.dtype)
        self.sum_dtype = torch.promote_types(hidden.dtype, torch.float32)
        self.vocab_size = len(weight)
        self.pad = -self.vocab_size % MULTIPLE if self.dtype.itemsize == 2 else 0
        self.weight = F.pad(weight.to(self.dtype), (0, 0, 0, self.pad)) if self.pad else weight.to(self.dtype)
        budget = CHUNK_BYTES if hidden.device.type == "cpu" else CHUNK_BYTES_CUDA
        self.chunk = max(256, budget // (len(self.weight) * self.sum_dtype.itemsize) // 64 * 64)

    def losses(self, hidden: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Nats (n,) and log-probabilities (n, padded V) of rows that all have a label."""
        logits = hidden.to(self.dtype) @ self.weight.t()
        if self.pad:
            logits[:, self.vocab_size :] = -torch.inf
        log_probabilities = torch.log_softmax(logits, dim=-1, dtype=self.sum_dtype)
        return -log_probabilities.gather(1, labels[:, None]).squeeze(1), log_probabilities


Slope = Callable[[Any, Tensor, Tensor, Tensor], Tensor]
"""(rows, targets, losses, log-probabilities, which it may overwrite) -> the gradient of these rows' logits."""


def _gradients(
    hidden: Tensor, weight: Tensor, labels: Tensor, chunk: int | None, needs: Sequence[bool], slope: Slope
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of hidden and weight, where they are needed, from those of the logits, a chunk at a time."""
    head = _Head(hidden, weight)
    d_hidden = torch.zeros_like(hidden) if needs[0] else None
    # The sum over chunks is kept in fp32 whatever the products run in.
    d_weight = torch.zeros_like(head.weight, dtype=head.sum_dtype) if needs[1] else None
    for rows in _chunks(labels, chunk or head.chunk):
        inputs, targets = hidden[rows], labels[rows]
        d_logits = slope(rows, targets, *head.losses(inputs, targets)).to(head.dtype)
        if d_hidden is not None:
            d_hidden[rows] = (d_logits @ head.weight).to(hidden.dtype)
        if d_weight is not None:
            _accumulate(d_weight, d_logits, inputs.to(head.dtype))
    return d_hidden, None if d_weight is None else d_weight[: head.vocab_size].to(weight.dtype)


def _at(targets: Tensor) -> tuple[Tensor, Tensor]:
    """The places of the labels among the logits."""
    return torch.arange(len(targets), device=targets.device), targets


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor, chunk: int | None) -> Tensor:
        total = hidden.new_zeros((), dtype=torch.promote_types(hidden.dtype, torch.float32))

        def slope(rows: Any, targets: Tensor, losses: Tensor, log_probabilities: Tensor) -> Tensor:
            total.add_(losses.sum())
            # d loss / d logits = softmax - one-hot, for which the log-probabilities' memory is used again.
            d_logits = log_probabilities.exp_()
            d_logits[_at(targets)] -= 1
            return d_logits

        ctx.gradients = _gradients(hidden, weight, labels, chunk, ctx.needs_input_grad, slope)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        gradients, ctx.gradients = ctx.gradients, None
        assert gradients is not None, "linear_cross_entropy: its gradients were already taken"
        d_hidden, d_weight = (None if g is None else g.mul_(gradient) for g in gradients)
        return d_hidden, d_weight, None, None


class _LabelLogProbs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor, chunk: int | None) -> Tensor:
        ctx.save_for_backward(hidden, weight, labels)
        ctx.chunk = chunk
        return -token_losses(hidden, weight, labels, chunk)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        def slope(rows: Any, targets: Tensor, losses: Tensor, log_probabilities: Tensor) -> Tensor:
            # d log p / d logits = one-hot - softmax.
            d_logits = log_probabilities.exp_().neg_()
            d_logits[_at(targets)] += 1
            return d_logits * gradient[rows][:, None]

        hidden, weight, labels = ctx.saved_tensors
        return *_gradients(hidden, weight, labels, ctx.chunk, ctx.needs_input_grad, slope), None, None


class _LabelLogProbsAndEntropies(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor, chunk: int | None) -> tuple[Tensor, Tensor]:
        head = _Head(hidden, weight)
        log_probs, entropies = (hidden.new_zeros(len(hidden), dtype=head.sum_dtype) for _ in range(2))
        for rows in _chunks(labels, chunk or head.chunk):
            losses, each = head.losses(hidden[rows], labels[rows])
            log_probs[rows], entropies[rows] = -losses, -_expected(each, len(weight))
        ctx.save_for_backward(hidden, weight, labels)
        ctx.chunk = chunk
        return log_probs, entropies

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_log_probs: Tensor, d_entropies: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, labels = ctx.saved_tensors
        size = len(weight)

        def slope(rows: Any, targets: Tensor, losses: Tensor, log_probabilities: Tensor) -> Tensor:
            # d log p / d logits = one-hot - p, and d entropy / d logits = -p (log p + entropy).
            factor = log_probabilities[:, :size] - _expected(log_probabilities, size)[:, None]
            factor.mul_(d_entropies[rows][:, None]).add_(d_log_probs[rows][:, None])
            d_logits = log_probabilities.exp_().neg_()
            d_logits[:, :size] *= factor
            d_logits[_at(targets)] += d_log_probs[rows]
            return d_logits

        return *_gradients(hidden, weight, labels, ctx.chunk, ctx.needs_input_grad, slope), None, None


def _expected(log_probabilities: Tensor, size: int) -> Tensor:
    """(n,): the mean of log p under p itself, minus the entropy. The padding's is p log p = 0, not NaN."""
    real = log_probabilities[:, :size]
    return (real.exp() * real).sum(1)


def _accumulate(d_weight: Tensor, d_logits: Tensor, hidden: Tensor) -> None:
    """d_weight (V, D) += d_logits (n, V).T @ hidden (n, D)."""
    if d_logits.dtype == d_weight.dtype:
        d_weight.addmm_(d_logits.t(), hidden)
    else:
        # h.T @ g reads g in its own layout: on AMX about half as fast again as g.T @ h.
        d_weight += (hidden.t().contiguous() @ d_logits).t()
