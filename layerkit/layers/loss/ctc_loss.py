"""CTCLoss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import DataError, ShapeError
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, Tops
from layerkit.registry import register
from layerkit.tangents import scalar


@register
class CTCLoss(Layer):
    """Cross entropy of labels that come in a known order, but at unknown steps of a sequence.

        p = softmax over classes of x,  loss = - sum over n of log P[n] / D

    (connectionist temporal classification). P is the sum, over all ways to write the labels as T classes, of the
    product of their p. In such a way each label stands one or more times in a row, with any number of blanks before,
    between and behind; between two equal labels at least one. With alpha[t, s], the probability of all beginnings that
    end at step t with symbol s of the labels with blanks around them, and beta[t, s], that of all that can follow:

        d loss[n] / d x[t, n, c] = p[t, n, c] - sum over s of class c of alpha[t, s] beta[t, s] / P

    both computed as logarithms. D is N for BATCH_SIZE, 1 for NONE; LENGTH divides each loss by the number of its labels
    (at least 1), and their sum by N, as PyTorch's mean does.
    No labels: only blanks. More labels than the steps can hold: P is 0 and the loss infinite, or with zero_infinity 0;
    in both cases such a sequence gives no gradient.

    Bottoms: x (T, N, C), scores (any real numbers); labels (N, L), whole numbers in 0..C-1 but the blank, padded behind
    with `padding` (what comes after a first one is not read); optionally the number of steps of each sequence, (N,),
    and then of its labels, (N,). Only x has a gradient.
    Tops: the loss (scalar), in nats.
    Raises ShapeError where the bottoms do not fit together, or there is no class `blank`; DataError for a label that is
    no class, or a length that does not lie within 0 to T or L.

    Example: {name: loss, type: CTCLoss, bottom: [scores, labels], blank: 0, padding: -1}
    Source: Graves et al. 2006, "Connectionist Temporal Classification"; parameters as in torch.nn.CTCLoss.
    """

    class Params(LayerParams):
        blank: int = Field(0, ge=0, description="The class that stands for no label.")
        padding: int = Field(-1, description="What stands behind the labels of a shorter sequence; no class.")
        zero_infinity: bool = Field(False, description="Whether a loss that is infinite counts as 0.")
        normalization: Literal["BATCH_SIZE", "LENGTH", "NONE"] = Field(
            "BATCH_SIZE", description="What the sum over sequences is divided by."
        )

    bottoms = (2, 4)
    loss = True

    def plan(self, *bottoms: Shape) -> Plan:
        x, labels, *lengths = bottoms
        if len(x) != 3 or len(labels) != 2 or x[1] != labels[0]:
            raise ShapeError(
                f"the bottoms must be (steps, sequences, classes) and (sequences, labels), "
                f"not {shape_text(x)} and {shape_text(labels)}",
                "bottom",
            )
        for i, shape in enumerate(lengths, 2):
            if shape != x[1:2]:
                raise ShapeError(f"bottom {i} must be {x[1]} lengths, not {shape_text(shape)}", "bottom")
        if self.params.blank >= x[2]:
            raise ShapeError(f"blank {self.params.blank} is none of the classes 0..{x[2] - 1}", "blank")
        (t, n, _), symbols = x, 2 * labels[1] + 1
        return Plan(
            tops=[()],
            scratch=[
                Scratch("p", x, keep=True),
                Scratch("log_p", x),
                Scratch("row", (t, n, 1)),
                Scratch("alpha", (t, n, symbols), keep=True),
                Scratch("beta", (t, n, symbols)),
                Scratch("emitted", (t, n, symbols), keep=True),
                Scratch("symbols", (n, symbols), "int64", keep=True),
                Scratch("steps", (n,), "int64", keep=True),
                Scratch("counts", (n,), "int64", keep=True),
                Scratch("log_likelihood", (n,), keep=True),
            ],
            gradients=[i == 0 for i in range(len(bottoms))],
            reads_bottoms=(),
            reads_tops=(),
        )

    # -- forward ---------------------------------------------------------------------------------------------------

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        self._read(bottom)
        scratch, x = self.scratch, bottom[0].data
        log_p, row, alpha = scratch.log_p, scratch.row, scratch.alpha
        np.subtract(x, np.max(x, axis=2, keepdims=True, out=row), out=log_p)
        np.sum(np.exp(log_p, out=scratch.p), axis=2, keepdims=True, out=row)
        log_p -= np.log(row, out=row)  # (T, N, C)
        np.exp(log_p, out=scratch.p)
        rows = np.arange(x.shape[1])
        for s, classes in enumerate(scratch.symbols.T):
            scratch.emitted[:, :, s] = log_p[:, rows, classes]  # (T, N)

        skips = self._skips()
        for t in range(len(x)):
            alpha[t] = _from_neighbours(alpha[t - 1], skips) if t else self._ends(first=True)
            alpha[t] += scratch.emitted[t]
        scratch.log_likelihood[...] = self._total(alpha)

        losses = -scratch.log_likelihood
        if self.params.zero_infinity:
            losses[np.isposinf(losses)] = 0
        top[0].data[...] = np.sum(losses * self._shares())

    def _read(self, bottom: Bottoms) -> None:
        """Write lengths, and the labels with blanks around them, as integers. Raises DataError where they are wrong."""
        (t, _, classes), labels, p = bottom[0].shape, bottom[1].data, self.params
        columns = np.arange(labels.shape[1])
        ended = (labels == p.padding) if len(bottom) < 4 else np.zeros(labels.shape, bool)
        counts = np.where(ended.any(axis=1), ended.argmax(axis=1), labels.shape[1]) if labels.shape[1] else 0
        self.scratch.counts[...] = counts if len(bottom) < 4 else _lengths(bottom[3].data, labels.shape[1], "labels")
        self.scratch.steps[...] = t if len(bottom) < 3 else _lengths(bottom[2].data, t, "steps")
        counted = columns < self.scratch.counts[:, np.newaxis]
        with np.errstate(invalid="ignore"):  # NaN becomes some integer, and differs from it
            whole = labels.astype(np.int64)
        wrong = counted & ((whole != labels) | (whole < 0) | (whole >= classes) | (whole == p.blank))
        if wrong.any():
            place = tuple(int(i) for i in np.argwhere(wrong)[0])
            fault = "is not a whole number"
            if whole[place] == labels[place]:
                fault = "is the blank" if whole[place] == p.blank else f"is outside 0..{classes - 1}"
            raise DataError(f"label {labels[place]:g} at position {place} {fault}")
        self.scratch.symbols[...] = p.blank
        self.scratch.symbols[:, 1::2][counted] = whole[counted]

    def _skips(self) -> Array:
        """0 where a way may come from two symbols before, past a blank between two different labels; else -inf."""
        symbols = self.scratch.symbols
        free = np.zeros(symbols.shape, bool)
        free[:, 2:] = (symbols[:, 2:] != self.params.blank) & (symbols[:, 2:] != symbols[:, :-2])
        return _log(free)

    def _ends(self, *, first: bool) -> Array:
        """0 at the symbols that a way may begin or end with, which are a blank and the label beside it; else -inf."""
        places = np.arange(self.scratch.symbols.shape[1])
        last = 2 * self.scratch.counts[:, np.newaxis]  # the blank behind the last label
        return _log((places <= np.minimum(1, last)) if first else (places <= last) & (places >= last - 1))

    def _total(self, alpha: Array) -> Array:
        """log P of each sequence: all ways that are at their end at its last step."""
        steps = self.scratch.steps
        if not len(alpha):
            return _log(self.scratch.counts == 0)
        final = np.take_along_axis(alpha, np.maximum(steps - 1, 0)[np.newaxis, :, np.newaxis], axis=0)[0]
        total = np.logaddexp.reduce(final + self._ends(first=False), axis=1)
        return np.where(steps > 0, total, _log(self.scratch.counts == 0))

    def _shares(self) -> Array:
        """What each sequence's loss is multiplied by."""
        counts = self.scratch.counts
        shares = np.ones(len(counts))
        if self.params.normalization == "LENGTH":
            shares /= np.maximum(1, counts)
        return shares if self.params.normalization == "NONE" else shares / max(1, len(counts))

    # -- backward --------------------------------------------------------------------------------------------------

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if not propagate_down[0]:
            return
        scratch, dx = self.scratch, bottom[0].diff
        beta, emitted, symbols, total = scratch.beta, scratch.emitted, scratch.symbols, scratch.log_likelihood
        skips, ends = self._skips(), self._ends(first=False)
        for t in reversed(range(len(dx))):  # beta[t] leaves out what is emitted at t itself
            at_end = t == scratch.steps - 1
            follows = beta[t] if t == len(dx) - 1 else _to_neighbours(beta[t + 1] + emitted[t + 1], skips)
            beta[t] = np.where(at_end[:, np.newaxis], ends, -np.inf if t == len(dx) - 1 else follows)

        possible = np.isfinite(total)
        beta += scratch.alpha
        beta -= np.where(possible, total, 0)[:, np.newaxis]
        np.exp(beta, out=beta)  # how likely symbol s is at step t, given the labels
        dx[...] = scratch.p
        rows = np.arange(len(symbols))
        for s, classes in enumerate(symbols.T):
            dx[:, rows, classes] -= beta[:, :, s]
        counted = (np.arange(len(dx))[:, np.newaxis] < scratch.steps) & possible  # (T, N)
        dx *= (self._shares() * top[0].diff)[:, np.newaxis]
        np.copyto(dx, 0, where=~counted[..., np.newaxis])

    jvp = scalar


def _log(true: Array) -> Array:
    """0 where true, else -inf."""
    return np.where(true, 0.0, -np.inf)


def _from_neighbours(before: Array, skips: Array) -> Array:
    """log of the sum over the symbols (N, S) that a way to each may come from: itself, the one before, the second."""
    ways = before.copy()
    np.logaddexp(ways[:, 1:], before[:, :-1], out=ways[:, 1:])
    np.logaddexp(ways[:, 2:], before[:, :-2] + skips[:, 2:], out=ways[:, 2:])
    return ways


def _to_neighbours(after: Array, skips: Array) -> Array:
    """log of the sum over the symbols (N, S) that a way from each may go to: itself, the next, the second."""
    ways = after.copy()
    np.logaddexp(ways[:, :-1], after[:, 1:], out=ways[:, :-1])
    np.logaddexp(ways[:, :-2], after[:, 2:] + skips[:, 2:], out=ways[:, :-2])
    return ways


def _lengths(given: Array, most: int, what: str) -> Array:
    """Lengths as integers. Raises DataError for one that is none, with its position."""
    with np.errstate(invalid="ignore"):
        whole = given.astype(np.int64)
    wrong = (whole != given) | (whole < 0) | (whole > most)
    if wrong.any():
        i = int(np.argmax(wrong))
        raise DataError(f"sequence {i} cannot have {given[i]:g} {what}; there are at most {most}")
    return whole
