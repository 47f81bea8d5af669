"""Losses of a language model's head that never hold the logits of all tokens at once.

With `z_s = h_s W_sᵀ + b_s`, `z_t = h_t W_tᵀ + b_t`, `q = softmax(z_s / τ)`, `p = softmax(z_t / τ)`, mask `m` and
`M = Σ m`, distillation minimises the forward Kullback-Leibler divergence of the logits and nothing else (Minitron,
arXiv 2408.11796):

    loss = (τ² / M) Σ_i m_i Σ_v p_iv (log p_iv − log q_iv),        ∂loss/∂z_s = (τ / M) m ⊙ (q − p)

The forward pass takes `c` tokens at a time: their logits, their losses, the gradient in the place of the logits, and
from it the rows of `∂h_s` and a summand of `∂W_s`. The backward pass only multiplies by what comes in (specification,
section 3.6).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.torch_version import TorchVersion

from paperworks.errors import InputError

BUDGET = 256_000_000
"""Bytes of two tiles `[c, V]`, which decides `c`: about 250 tokens for 128,256 words in float32."""
_ROWS = 8192  # of the head, converted to float32 at a time where it is stored in half precision
_MIXED_PRODUCTS = TorchVersion(torch.__version__) >= "2.8"  # products of half precision in float32, on GPUs
_PARTS = 16  # of a tile: what is needed for a moment is that much smaller than the tile

_keeps_graph = getattr(torch._C._autograd, "_get_current_graph_task_keep_graph", lambda: True)

RowLosses = Callable[[Tensor, Tensor], Tensor]
"""`(rows [n], logits [n, V]) -> losses [n]`; leaves ∂losses/∂logits in the place of the logits."""


def distillation_loss(
    h_student: Tensor,
    W_student: Tensor,
    h_teacher: Tensor,
    W_teacher: Tensor,
    mask: Tensor | None = None,
    *,
    temperature: float = 1.0,
    student_bias: Tensor | None = None,
    teacher_bias: Tensor | None = None,
    budget: int = BUDGET,
) -> Tensor:
    """The forward KL from teacher to student, a scalar in nats times `temperature²`: the mean over the mask.

    `h_student [..., d]` and `h_teacher [..., d_t]` are the inputs of the heads `W_student [V, d]` and
    `W_teacher [V, d_t]`, `mask [...]` the weights of the tokens (default: all 1), biases `[V]`. Where nothing is masked
    in, the loss is 0. Gradients go to `h_student`, `W_student` and `student_bias`, summed in float32 whatever the
    storage (float64 for float64); those of a frozen head are not computed. `budget` is in bytes. A second derivative
    is refused (RuntimeError).

    Heads of unequal vocabulary are cut to the shared rows, with a warning: logits that are padded with zeros would take
    probability. Raises `InputError` for shapes that do not fit. Specification, section 3.6.
    """
    h_student, W_student, student_bias = _checked("student", h_student, W_student, student_bias)
    h_teacher, W_teacher, teacher_bias = _checked("teacher", h_teacher, W_teacher, teacher_bias)
    if not temperature > 0:
        raise InputError(f"temperature {temperature} is not above 0: 1 is the paper's")
    if h_teacher.shape[:-1] != h_student.shape[:-1]:
        raise InputError(
            f"hidden states of {list(h_student.shape[:-1])} student and {list(h_teacher.shape[:-1])} teacher tokens: "
            "give both the same text"
        )
    if len(W_student) != len(W_teacher):
        words = min(len(W_student), len(W_teacher))
        warnings.warn(
            f"the heads have {len(W_student)} (student) and {len(W_teacher)} (teacher) words: "
            f"the loss uses the first {words} of both",
            stacklevel=2,
        )
        W_student, W_teacher = W_student[:words], W_teacher[:words]
        student_bias = None if student_bias is None else student_bias[:words]
        teacher_bias = None if teacher_bias is None else teacher_bias[:words]
    dtype = _wide(h_student, W_student, h_teacher, W_teacher)
    chunk = _chunk(len(W_student), dtype, budget)
    teacher = h_teacher.detach().flatten(0, -2)
    head, bias = W_teacher.detach(), None if teacher_bias is None else teacher_bias.detach()
    tile = head.new_empty(min(chunk, len(teacher)), len(head), dtype=dtype)

    def row_losses(rows: Tensor, z_s: Tensor) -> Tensor:
        z_t = fill_logits(tile[: len(rows)], teacher[rows], head, bias)
        losses = []
        for s, t in zip(_parts(z_s), _parts(z_t), strict=True):
            log_q, log_p = F.log_softmax(s.div_(temperature), 1), F.log_softmax(t.div_(temperature), 1)
            p = log_p.exp()
            losses.append((p * (log_p - log_q)).sum(1) * temperature**2)
            torch.sub(log_q.exp_(), p, out=s).mul_(temperature)
        return torch.cat(losses)

    return _head_loss(h_student, W_student, student_bias, mask, dtype, chunk, row_losses)


def topk_distillation_loss(
    h_student: Tensor,
    W_student: Tensor,
    indices: Tensor,
    log_probs: Tensor,
    log_rest: Tensor,
    mask: Tensor | None = None,
    *,
    student_bias: Tensor | None = None,
    budget: int = BUDGET,
) -> Tensor:
    """A lower bound of the forward KL, from the teacher's `k` most probable words and the mass of all others.

        loss = Σ_{v∈K} p_v log(p_v / q_v) + p_R log(p_R / q_R)       p_R = 1 − Σ_K p,  q_R = 1 − Σ_K q

    `indices [..., k]` are the words `K`, `log_probs [..., k]` their `log p`, `log_rest [...]` is `log p_R`. What was
    rounded for storage is scaled to sum to 1. Equal to the KL at k = V. The rest is as in `distillation_loss`, at
    temperature 1. Raises `InputError` for shapes that do not fit and for words that the head does not have.
    """
    h_student, W_student, student_bias = _checked("student", h_student, W_student, student_bias)
    tokens = h_student.shape[:-1]
    if indices.shape[:-1] != tokens or log_probs.shape != indices.shape or log_rest.shape != tokens:
        raise InputError(
            f"{list(tokens)} tokens need indices and log_probs [..., k] and log_rest [...], got {list(indices.shape)}, "
            f"{list(log_probs.shape)} and {list(log_rest.shape)}"
        )
    words, dtype = len(W_student), _wide(h_student, W_student, log_rest)
    indices = indices.detach().long().flatten(0, -2)
    if indices.numel() and int(indices.max()) >= words:
        raise InputError(
            f"the teacher's word {int(indices.max())} is not in the student's head of {words}: store the teacher with "
            f"vocabulary={words}"
        )
    log_rest = log_rest.detach().to(dtype).flatten()
    if indices.shape[1] == words:
        log_rest = torch.full_like(log_rest, -torch.inf)
    log_p = torch.cat([log_probs.detach().to(dtype).flatten(0, -2), log_rest[:, None]], 1).log_softmax(1)

    def row_losses(rows: Tensor, z: Tensor) -> Tensor:
        losses = []
        for s, part in zip(_parts(z), _parts(rows), strict=True):
            top, log_p_part = indices[part], log_p[part]
            p = log_p_part.exp()
            log_q = F.log_softmax(s, 1)
            log_q_rest = log_q.scatter(1, top, -torch.inf).logsumexp(1, keepdim=True)
            log_q_part = torch.cat([log_q.gather(1, top), log_q_rest], 1)
            losses.append(torch.where(p > 0, p * (log_p_part - log_q_part), 0).sum(1))
            # Outside K: q_v (1 − p_R/q_R). A q_R that underflows is never divided by.
            others = log_q.exp() - p[:, -1:] * (log_q - log_q_rest).exp()
            torch.scatter(others, 1, top, log_q_part[:, :-1].exp() - p[:, :-1], out=s)
        return torch.cat(losses)

    return _head_loss(
        h_student, W_student, student_bias, mask, dtype, _chunk(words, dtype, budget), row_losses
    )


def cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    bias: Tensor | None = None,
    budget: int = BUDGET,
) -> Tensor:
    """The mean cross-entropy in nats of the words `labels [...]`, predicted from `hidden [..., d]` by `weight [V, d]`.

    `mask [...]` weights the tokens; labels that it leaves out may be anything. Otherwise as `distillation_loss`.
    """
    hidden, weight, bias = _checked("model", hidden, weight, bias)
    if labels.shape != hidden.shape[:-1]:
        raise InputError(f"{list(hidden.shape[:-1])} tokens need a label each, got {list(labels.shape)}")
    words, dtype, targets = len(weight), _wide(hidden, weight), labels.flatten()[:, None]

    def row_losses(rows: Tensor, z: Tensor) -> Tensor:
        losses = []
        for s, part in zip(_parts(z), _parts(rows), strict=True):
            log_q, target = F.log_softmax(s, 1), targets[part]
            losses.append(-log_q.gather(1, target).squeeze(1))
            s.copy_(log_q.exp_()).scatter_add_(1, target, s.new_full(target.shape, -1.0))
        return torch.cat(losses)

    return _head_loss(hidden, weight, bias, mask, dtype, _chunk(words, dtype, budget), row_losses)


def fill_logits(out: Tensor, hidden: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Write `hidden [n, d] @ weight [V, d]ᵀ + bias [V]` into `out [n, V]`, float32 or wider, and return it."""
    out.zero_() if bias is None else out.copy_(bias)
    for rows, block in _blocks(weight, out.dtype):
        _add_product(out[:, rows], hidden, block.T)
    return out


class _HeadLoss(torch.autograd.Function):
    """`Σ m·losses / Σ m` of the rows of `hidden [N, d]`, with the gradients made beside it."""

    @staticmethod
    def forward(ctx, hidden, weight, bias, mask, dtype, chunk, needed, row_losses):
        for_hidden, for_weight, for_bias = needed
        d_hidden = torch.zeros_like(hidden) if for_hidden else None
        d_weight = torch.zeros_like(weight, dtype=dtype) if for_weight else None
        d_bias = torch.zeros_like(bias, dtype=dtype) if for_bias else None
        kept = mask.nonzero().flatten()
        tile = hidden.new_empty(min(chunk, len(kept)), len(weight), dtype=dtype)
        loss = hidden.new_zeros((), dtype=dtype)
        for rows in kept.split(chunk) if len(kept) else ():
            some, weights = hidden[rows], mask[rows]
            z = fill_logits(tile[: len(rows)], some, weight, bias)
            loss += (row_losses(rows, z) * weights).sum()
            if any(needed):
                z *= weights[:, None]
            if d_bias is not None:
                d_bias += z.sum(0)
            if d_hidden is not None:
                summed = torch.zeros_like(some, dtype=dtype)
                for part, block in _blocks(weight, dtype):
                    _add_product(summed, z[:, part], block)
                d_hidden[rows] = summed.to(hidden.dtype)
            if d_weight is not None:
                for part, block in _blocks(weight, dtype):
                    _add_product(d_weight[part], z[:, part].T, some.to(block.dtype))
        total = mask.sum()
        scale = torch.where(total > 0, total, 1).reciprocal()
        ctx.dtypes = hidden.dtype, weight.dtype, None if bias is None else bias.dtype
        ctx.save_for_backward(scale, d_hidden, d_weight, d_bias)
        return loss * scale

    @staticmethod
    def backward(ctx, incoming):
        if torch.is_grad_enabled():  # only with create_graph: the gradients would pass for constants
            raise RuntimeError("this loss has no second derivative: call backward without create_graph")
        scale, *gradients = ctx.saved_tensors
        factor = incoming * scale
        # In place unless the graph is kept for another pass: a second tensor of the head's size is large.
        times = Tensor.mul if _keeps_graph() else Tensor.mul_
        found = [
            None if gradient is None else times(gradient, factor.to(gradient.dtype)).to(dtype)
            for gradient, dtype in zip(gradients, ctx.dtypes, strict=True)
        ]
        return *found, None, None, None, None, None


def _head_loss(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    mask: Tensor | None,
    dtype: torch.dtype,
    chunk: int,
    row_losses: RowLosses,
) -> Tensor:
    if mask is None:
        mask = torch.ones(hidden.shape[:-1], dtype=dtype, device=hidden.device)
    elif mask.shape != hidden.shape[:-1]:
        raise InputError(
            f"{list(hidden.shape[:-1])} tokens need a mask of that shape, got {list(mask.shape)}"
        )
    needed = [
        torch.is_grad_enabled() and tensor is not None and tensor.requires_grad
        for tensor in (hidden, weight, bias)
    ]
    mask = mask.detach().to(hidden.device, dtype).flatten()
    with torch.autocast(hidden.device.type, enabled=False):
        return _HeadLoss.apply(hidden.flatten(0, -2), weight, bias, mask, dtype, chunk, needed, row_losses)


def _checked(
    whose: str, hidden: Tensor, weight: Tensor, bias: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The same tensors, in the dtype of autocast where that is on, as it would multiply them."""
    if weight.ndim != 2 or hidden.ndim < 2 or hidden.shape[-1] != weight.shape[1]:
        raise InputError(
            f"the {whose}'s hidden states {list(hidden.shape)} and head {list(weight.shape)} do not fit: need [..., d] "
            "and [V, d]"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise InputError(f"the {whose}'s bias is {list(bias.shape)}, its head has {len(weight)} words")
    if torch.is_autocast_enabled(hidden.device.type):
        dtype = torch.get_autocast_dtype(hidden.device.type)
        hidden, weight = hidden.to(dtype), weight.to(dtype)
    return hidden, weight, bias


def _wide(*tensors: Tensor) -> torch.dtype:
    """Float64 where one of the tensors is, else float32."""
    return torch.float64 if any(tensor.dtype == torch.float64 for tensor in tensors) else torch.float32


def _chunk(words: int, dtype: torch.dtype, budget: int) -> int:
    return max(1, budget // (2 * words * dtype.itemsize))


def _parts(tile: Tensor) -> tuple[Tensor, ...]:
    return tile.split(max(1, len(tile) // _PARTS))


def _blocks(weight: Tensor, dtype: torch.dtype) -> Iterator[tuple[slice, Tensor]]:
    """The rows of `weight [V, d]` in `dtype`, a block after the other; all at once where nothing is to be converted."""
    native = weight.is_cuda and dtype == torch.float32 and _MIXED_PRODUCTS
    if weight.dtype == dtype or native:
        yield slice(None), weight
        return
    for first in range(0, len(weight), _ROWS):
        rows = slice(first, first + _ROWS)
        yield rows, weight[rows].to(dtype)


def _add_product(out: Tensor, a: Tensor, b: Tensor) -> None:
    """`out += a @ b`, summed in the dtype of `out`: a GPU multiplies half precision as it is."""
    if b.dtype == out.dtype:
        out.addmm_(a.to(out.dtype), b)
    else:
        torch.addmm(out, a.to(b.dtype), b, out_dtype=out.dtype, out=out)
