"""The fused loss against the plain one: values, gradients, ignored labels, any vocabulary, any dtype."""

import pytest
import torch
import torch.nn.functional as F

from yanmo.model.labels import IGNORE
from yanmo.train import head
from yanmo.train.head import label_log_probs, label_log_probs_and_entropies, linear_cross_entropy, token_losses

ODD_VOCABULARY = 131


def example(dtype=torch.float64, tokens=37, width=16, vocabulary=ODD_VOCABULARY, ignored=0.3):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(tokens, width, generator=generator, dtype=torch.float64).to(dtype)
    weight = torch.randn(vocabulary, width, generator=generator, dtype=torch.float64)
    weight = weight.to(torch.promote_types(dtype, torch.float32))
    labels = torch.randint(vocabulary, (tokens,), generator=generator)
    labels[torch.rand(tokens, generator=generator) < ignored] = IGNORE
    return hidden.requires_grad_(), weight.requires_grad_(), labels


def plain(hidden, weight, labels):
    logits = hidden.to(weight.dtype) @ weight.t()
    return F.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="sum")


def gradients(loss, hidden, weight, labels, **options):
    value = loss(hidden, weight, labels, **options)
    return value.detach(), *torch.autograd.grad(value / 7, (hidden, weight))


@pytest.mark.parametrize("chunk", [1, 5, 37, None])
@pytest.mark.parametrize("ignored", [0.0, 0.3])
def test_equals_the_plain_loss_in_float64(chunk, ignored):
    inputs = example(ignored=ignored)
    for ours, reference in zip(
        gradients(linear_cross_entropy, *inputs, chunk=chunk), gradients(plain, *inputs), strict=True
    ):
        torch.testing.assert_close(ours, reference)


@pytest.mark.parametrize("product", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("vocabulary", [ODD_VOCABULARY, 128])
def test_bf16_is_as_close_as_bf16_is(monkeypatch, product, vocabulary):
    monkeypatch.setattr(head, "product_dtype", lambda device_type, dtype: product)
    hidden, weight, labels = example(torch.bfloat16, tokens=300, vocabulary=vocabulary)
    ours = gradients(linear_cross_entropy, hidden, weight, labels, chunk=64)
    reference = gradients(plain, hidden, weight, labels)
    assert ours[0].dtype == torch.float32 and ours[1].dtype == torch.bfloat16 and ours[2].dtype == torch.float32
    assert ours[2].shape == weight.shape
    for mine, exact in zip(ours, reference, strict=True):
        assert (mine - exact).norm() < 0.01 * exact.norm()


def test_gradients_are_the_slopes_of_the_value():
    hidden, weight, labels = example(tokens=6, width=3, vocabulary=5)
    _, *slopes = gradients(linear_cross_entropy, hidden, weight, labels, chunk=4)
    for tensor, slope in zip((hidden, weight), slopes, strict=True):
        with torch.no_grad():
            direction = torch.randn_like(tensor)
            tensor += 1e-6 * direction
            above = linear_cross_entropy(hidden, weight, labels)
            tensor -= 2e-6 * direction
            below = linear_cross_entropy(hidden, weight, labels)
            tensor += 1e-6 * direction
        torch.testing.assert_close((above - below) / 2e-6 / 7, (slope * direction).sum())


def test_without_any_target_loss_and_gradients_are_zero():
    hidden, weight, _ = example()
    value, d_hidden, d_weight = gradients(linear_cross_entropy, hidden, weight, torch.full((37,), IGNORE))
    assert value == 0 and not d_hidden.any() and not d_weight.any()


@pytest.mark.parametrize("frozen", [0, 1])
def test_a_frozen_side_gets_no_gradient(frozen):
    inputs = example()
    inputs[frozen].requires_grad_(False)
    linear_cross_entropy(*inputs).backward()
    assert inputs[frozen].grad is None
    other = inputs[1 - frozen]
    torch.testing.assert_close(other.grad, torch.autograd.grad(plain(*inputs), other)[0])


def test_losses_by_token_keep_the_shape_and_sum_to_the_loss():
    hidden, weight, labels = example(tokens=36)
    each = token_losses(hidden.view(4, 9, -1), weight, labels.view(4, 9), chunk=7)
    assert each.shape == (4, 9) and not each.requires_grad
    assert not each[labels.view(4, 9) == IGNORE].any()
    torch.testing.assert_close(each.sum(), plain(hidden, weight, labels).detach())


def test_loss_without_gradient_is_the_same():
    inputs = example()
    with torch.no_grad():
        torch.testing.assert_close(linear_cross_entropy(*inputs), plain(*inputs))


def test_an_improbable_label_has_a_finite_loss():
    weight = torch.tensor([[400.0], [-400.0]], requires_grad=True)
    hidden = torch.ones(1, 1, requires_grad=True)
    loss = linear_cross_entropy(hidden, weight, torch.tensor([1]))
    assert loss == 800


def plain_log_probs(hidden, weight, labels):
    log_probabilities = torch.log_softmax(hidden.to(weight.dtype) @ weight.t(), -1)
    return log_probabilities.gather(-1, labels.clamp(min=0)[..., None]).squeeze(-1) * (labels != IGNORE)


@pytest.mark.parametrize("chunk", [1, 5, None])
def test_log_probs_of_labels_with_any_gradient(chunk):
    hidden, weight, labels = example(tokens=36)
    hidden, labels = hidden.detach().view(4, 9, -1).requires_grad_(), labels.view(4, 9)
    gradient = torch.randn(4, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    ours, theirs = label_log_probs(hidden, weight, labels, chunk), plain_log_probs(hidden, weight, labels)
    torch.testing.assert_close(ours, theirs)
    for mine, exact in zip(
        torch.autograd.grad(ours, (hidden, weight), gradient),
        torch.autograd.grad(theirs, (hidden, weight), gradient),
        strict=True,
    ):
        torch.testing.assert_close(mine, exact)


@pytest.mark.parametrize("chunk", [5, None])
def test_entropies_and_their_gradients_are_those_of_the_whole_distribution(chunk):
    hidden, weight, labels = example()
    log_probs, entropies = label_log_probs_and_entropies(hidden, weight, labels, chunk)
    every = F.log_softmax(hidden @ weight.t(), -1)
    wanted = labels != IGNORE
    plain_entropies = torch.where(wanted, -(every.exp() * every).sum(-1), 0.0)
    torch.testing.assert_close(log_probs, plain_log_probs(hidden, weight, labels))
    torch.testing.assert_close(entropies, plain_entropies)
    first, second = torch.randn(2, len(labels), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    ours = torch.autograd.grad((first * log_probs + second * entropies).sum(), (hidden, weight))
    plain = (first * plain_log_probs(hidden, weight, labels) + second * plain_entropies).sum()
    for mine, exact in zip(ours, torch.autograd.grad(plain, (hidden, weight)), strict=True):
        torch.testing.assert_close(mine, exact)


def test_entropies_in_bf16_with_a_padded_vocabulary_are_finite():
    hidden, weight, labels = example(torch.bfloat16)
    log_probs, entropies = label_log_probs_and_entropies(hidden, weight, labels)
    assert (log_probs[labels != IGNORE] < 0).all() and (entropies[labels != IGNORE] > 0).all()
    for gradient in torch.autograd.grad((log_probs + entropies).sum(), (hidden, weight)):
        assert gradient.isfinite().all() and gradient.abs().sum() > 0
