"""The chunked losses against the plain ones, which hold all logits, in float64."""

import sys
import warnings

import pytest
import torch
from torch.autograd import gradcheck
from torch.nn import functional as F

from paperworks.errors import InputError
from paperworks.minitron.distillation_loss import cross_entropy, distillation_loss, topk_distillation_loss

TOKENS, WORDS, D_S, D_T = 13, 29, 5, 7


def plain_kl(h_s, W_s, h_t, W_t, mask=None, temperature=1.0, student_bias=None, teacher_bias=None):
    """The definition: `F.kl_div` of all logits."""
    log_q = (F.linear(h_s, W_s, student_bias) / temperature).log_softmax(-1)
    log_p = (F.linear(h_t, W_t, teacher_bias) / temperature).log_softmax(-1)
    losses = F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(-1) * temperature**2
    mask = torch.ones_like(losses) if mask is None else mask.to(losses)
    return (losses * mask).sum() / mask.sum()


def plain_topk(h, W, indices, p, mask, bias):
    """The bound with 1 − Σ, as it is written in the specification."""
    q = F.linear(h, W, bias).softmax(-1).gather(-1, indices)
    p_rest, q_rest = 1 - p.sum(-1), 1 - q.sum(-1)
    losses = (p * (p / q).log()).sum(-1) + p_rest * (p_rest / q_rest).log()
    return (losses * mask).sum() / mask.sum()


@pytest.fixture
def tensors():
    torch.manual_seed(0)
    shapes = [(TOKENS, D_S), (WORDS, D_S), (TOKENS, D_T), (WORDS, D_T), (WORDS,), (WORDS,)]
    h_s, W_s, h_t, W_t, b_s, b_t = (torch.randn(shape, dtype=torch.float64) for shape in shapes)
    for tensor in (h_s, W_s, b_s):
        tensor.requires_grad_()
    return h_s, W_s, h_t, W_t, b_s, b_t


def bytes_for(tokens, words=WORDS):
    return tokens * 2 * 8 * words


def teacher_topk(h_t, W_t, k):
    log_p = (h_t @ W_t.T).log_softmax(-1)
    top, indices = log_p.topk(k, -1)
    return indices, top, log_p.scatter(-1, indices, -torch.inf).logsumexp(-1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("chunk", [1, 3, 13, 1000])
@pytest.mark.parametrize("masked", ["none", "binary", "weights"])
def test_values_and_gradients_are_those_of_the_definition(tensors, temperature, chunk, masked):
    h_s, W_s, h_t, W_t, b_s, b_t = tensors
    mask = {
        "none": None,
        "binary": torch.rand(TOKENS) > 0.4,
        "weights": torch.rand(TOKENS, dtype=torch.float64),
    }[masked]
    options = {"temperature": temperature, "student_bias": b_s, "teacher_bias": b_t}
    ours = distillation_loss(h_s, W_s, h_t, W_t, mask, **options, budget=bytes_for(chunk))
    theirs = plain_kl(h_s, W_s, h_t, W_t, mask, **options)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    for mine, wanted in zip(
        torch.autograd.grad(3 * ours, (h_s, W_s, b_s)),
        torch.autograd.grad(3 * theirs, (h_s, W_s, b_s)),
        strict=True,
    ):
        torch.testing.assert_close(mine, wanted, rtol=1e-12, atol=1e-12)


def test_gradcheck(tensors):
    h_s, W_s, h_t, W_t, b_s, b_t = tensors
    mask = torch.rand(TOKENS, dtype=torch.float64)

    def kl(h, W, b):
        return distillation_loss(
            h, W, h_t, W_t, mask, temperature=2.0, student_bias=b, teacher_bias=b_t, budget=bytes_for(4)
        )

    assert gradcheck(kl, (h_s, W_s, b_s))
    top = teacher_topk(h_t, W_t, 6)
    assert gradcheck(
        lambda h, W, b: topk_distillation_loss(h, W, *top, mask, student_bias=b, budget=bytes_for(4)),
        (h_s, W_s, b_s),
    )
    labels = torch.randint(WORDS, (TOKENS,))
    assert gradcheck(
        lambda h, W, b: cross_entropy(h, W, labels, mask, bias=b, budget=bytes_for(4)), (h_s, W_s, b_s)
    )


def test_a_second_derivative_is_refused(tensors):
    h_s, W_s, h_t, W_t, *_ = tensors
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(distillation_loss(h_s, W_s, h_t, W_t), h_s, create_graph=True)


def test_the_teacher_itself_has_exactly_no_loss(tensors):
    _, _, h_t, W_t, *_ = tensors
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        h, W = (tensor.detach().clone().to(dtype).requires_grad_() for tensor in (h_t, W_t))
        loss = distillation_loss(h, W, h.detach(), W.detach(), budget=bytes_for(4))
        loss.backward()
        assert loss == 0
        assert not h.grad.any()
        assert not W.grad.any()


def test_nothing_masked_in_is_zero_and_masked_tokens_may_be_anything(tensors):
    h_s, W_s, h_t, W_t, *_ = tensors
    loss = distillation_loss(h_s, W_s, h_t, W_t, torch.zeros(TOKENS))
    loss.backward()
    assert loss == 0
    assert not h_s.grad.any()
    assert not W_s.grad.any()
    with torch.no_grad():
        h_t[3] = h_s[3] = torch.nan
    mask = torch.arange(TOKENS) != 3
    assert distillation_loss(h_s, W_s, h_t, W_t, mask).isfinite()


def test_a_kept_graph_gives_the_same_gradients_again(tensors):
    h_s, W_s, h_t, W_t, *_ = tensors
    loss = distillation_loss(h_s, W_s, h_t, W_t)
    first = torch.autograd.grad(2 * loss, (h_s, W_s), retain_graph=True)
    loss.backward(retain_graph=True)
    loss.backward()
    for gradient, leaf in zip(first, (h_s, W_s), strict=True):
        torch.testing.assert_close(leaf.grad, gradient, rtol=1e-12, atol=1e-12)
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


def test_leading_dimensions_are_free_and_a_frozen_head_gets_no_gradient(tensors):
    h_s, W_s, h_t, W_t, *_ = tensors
    batch = h_s[:12].detach().reshape(3, 4, D_S).requires_grad_()
    loss = distillation_loss(batch, W_s.detach(), h_t[:12].reshape(3, 4, D_T), W_t, torch.ones(3, 4))
    loss.backward()
    expected = plain_kl(h_s[:12], W_s, h_t[:12], W_t)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(batch.grad.flatten(0, 1), torch.autograd.grad(expected, h_s)[0][:12])
    assert W_s.grad is None


def test_extreme_logits_stay_finite():
    h = torch.tensor([[1e4], [-1e4], [1e4]], requires_grad=True)
    W_s, W_t = torch.tensor([[1.0], [-1.0], [0.5]], requires_grad=True), torch.tensor([[-1.0], [1.0], [0.0]])
    loss = distillation_loss(h, W_s, h.detach(), W_t)
    loss.backward()
    assert loss == 2e4
    assert h.grad.isfinite().all()
    assert W_s.grad.isfinite().all()


def test_half_precision_is_within_one_percent(tensors):
    h_s, W_s, h_t, W_t, *_ = tensors
    wanted = torch.autograd.grad(plain_kl(h_s, W_s, h_t, W_t), (h_s, W_s))
    small = [tensor.detach().bfloat16() for tensor in (h_s, W_s, h_t, W_t)]
    leaves = [tensor.requires_grad_() for tensor in small[:2]]
    loss = distillation_loss(*small, budget=bytes_for(4))
    loss.backward()
    assert loss.dtype == torch.float32
    assert leaves[1].grad.dtype == torch.bfloat16
    torch.testing.assert_close(loss.double(), plain_kl(h_s, W_s, h_t, W_t), rtol=1e-2, atol=1e-2)
    for leaf, gradient in zip(leaves, wanted, strict=True):
        torch.testing.assert_close(leaf.grad.double(), gradient, rtol=1e-2, atol=1e-2)


def test_a_head_in_half_precision_is_converted_in_blocks(tensors, monkeypatch):
    h_s, W_s, h_t, W_t, *_ = [tensor.detach().bfloat16() for tensor in tensors]
    whole = distillation_loss(h_s, W_s, h_t, W_t)
    monkeypatch.setattr(sys.modules[distillation_loss.__module__], "_ROWS", 8)
    torch.testing.assert_close(distillation_loss(h_s, W_s, h_t, W_t), whole)


def test_autocast_multiplies_in_its_dtype_and_sums_in_float32(tensors):
    h_s, W_s, h_t, W_t, *_ = [tensor.detach().float() for tensor in tensors]
    W_s.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        loss = distillation_loss(h_s, W_s, h_t, W_t)
    loss.backward()
    torch.testing.assert_close(loss, distillation_loss(*(t.bfloat16() for t in (h_s, W_s, h_t, W_t))))
    assert W_s.grad.dtype == torch.float32


def test_unequal_vocabularies_are_cut_with_a_warning(tensors):
    h_s, W_s, h_t, W_t, b_s, b_t = tensors
    with pytest.warns(UserWarning, match="first 20 of both"):
        loss = distillation_loss(h_s, W_s, h_t, W_t[:20], student_bias=b_s, teacher_bias=b_t[:20])
    torch.testing.assert_close(
        loss, plain_kl(h_s, W_s[:20], h_t, W_t[:20], student_bias=b_s[:20], teacher_bias=b_t[:20])
    )
    (gradient,) = torch.autograd.grad(loss, W_s)
    assert not gradient[20:].any()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        distillation_loss(h_s, W_s, h_t, W_t)


@pytest.mark.parametrize("chunk", [1, 5, 1000])
def test_the_topk_loss_is_the_bound_of_the_specification(tensors, chunk):
    h_s, W_s, h_t, W_t, b_s, _ = tensors
    indices, log_p, log_rest = teacher_topk(h_t, W_t, 6)
    mask = torch.rand(TOKENS, dtype=torch.float64)
    ours = topk_distillation_loss(
        h_s, W_s, indices, log_p, log_rest, mask, student_bias=b_s, budget=bytes_for(chunk)
    )
    theirs = plain_topk(h_s, W_s, indices, log_p.exp(), mask, b_s)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    for mine, wanted in zip(
        torch.autograd.grad(ours, (h_s, W_s, b_s)), torch.autograd.grad(theirs, (h_s, W_s, b_s)), strict=True
    ):
        torch.testing.assert_close(mine, wanted, rtol=1e-11, atol=1e-12)


def test_the_topk_loss_rises_with_k_to_the_whole_divergence(tensors):
    h_s, W_s, h_t, W_t, *_ = tensors
    losses = [
        topk_distillation_loss(h_s, W_s, *teacher_topk(h_t, W_t, k)) for k in (1, 2, 6, 20, WORDS - 1, WORDS)
    ]
    assert losses == sorted(losses)
    whole = plain_kl(h_s, W_s, h_t, W_t)
    torch.testing.assert_close(losses[-1], whole, rtol=1e-12, atol=1e-12)
    for mine, wanted in zip(
        torch.autograd.grad(losses[-1], (h_s, W_s)), torch.autograd.grad(whole, (h_s, W_s)), strict=True
    ):
        torch.testing.assert_close(mine, wanted, rtol=1e-12, atol=1e-12)


def test_the_topk_loss_stands_rounding_and_extremes(tensors):
    h_s, W_s, h_t, W_t, *_ = tensors
    indices, log_p, log_rest = teacher_topk(h_t, W_t, 6)
    rounded = topk_distillation_loss(h_s, W_s, indices.to(torch.uint32), log_p.half(), log_rest.float())
    torch.testing.assert_close(
        rounded, topk_distillation_loss(h_s, W_s, indices, log_p, log_rest), rtol=1e-3, atol=1e-3
    )
    loud = (1e4 * h_s.detach()).requires_grad_()
    loss = topk_distillation_loss(loud, W_s, *teacher_topk(1e4 * h_t, W_t, 6))
    loss.backward()
    assert loss.isfinite()
    assert loud.grad.isfinite().all()
    assert W_s.grad.isfinite().all()


def test_cross_entropy_is_torchs(tensors):
    h_s, W_s, _, _, b_s, _ = tensors
    labels = torch.randint(WORDS, (TOKENS,))
    ours = cross_entropy(h_s, W_s, labels, bias=b_s, budget=bytes_for(3))
    theirs = F.cross_entropy(F.linear(h_s, W_s, b_s), labels)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(torch.autograd.grad(ours, W_s), torch.autograd.grad(theirs, W_s))


def test_no_tensor_of_all_tokens_and_words_is_made():
    tokens, words = 512, 1024
    h, W = torch.randn(tokens, 8, requires_grad=True), torch.randn(words, 8, requires_grad=True)

    class Largest(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                sizes.append(result.numel())
            return result

    sizes: list[int] = []
    with Largest():
        distillation_loss(h, W, torch.randn(tokens, 8), torch.randn(words, 8), budget=16 * 2 * 4 * words)
    assert max(sizes) == 16 * words


def test_bad_input_is_one_line(tensors):
    h_s, W_s, h_t, W_t, *_ = tensors
    with pytest.raises(InputError, match="do not fit"):
        distillation_loss(h_s, W_t, h_t, W_t)
    with pytest.raises(InputError, match="same text"):
        distillation_loss(h_s, W_s, h_t[:-1], W_t)
    with pytest.raises(InputError, match="mask of that shape"):
        distillation_loss(h_s, W_s, h_t, W_t, torch.ones(3))
    with pytest.raises(InputError, match="temperature"):
        distillation_loss(h_s, W_s, h_t, W_t, temperature=0)
    with pytest.raises(InputError, match="bias"):
        distillation_loss(h_s, W_s, h_t, W_t, student_bias=torch.ones(3))
    indices, log_p, log_rest = teacher_topk(h_t, W_t, 6)
    with pytest.raises(InputError, match="vocabulary=10"):
        topk_distillation_loss(h_s, W_s[:10], indices, log_p, log_rest)
    with pytest.raises(InputError, match="need indices"):
        topk_distillation_loss(h_s, W_s, indices[:3], log_p, log_rest)
    with pytest.raises(InputError, match="label each"):
        cross_entropy(h_s, W_s, torch.ones(3, dtype=torch.long))
