"""Recurrent: a body of layers, run once for each step of sequences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field, model_validator

from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Tops
from layerkit.layers.recurrent.roles import (
    LEARNED,
    ZEROS,
    Blocks,
    Layers,
    OutputParams,
    Roles,
    StateParams,
    find_roles,
    names_of,
)
from layerkit.layers.recurrent.way import Way
from layerkit.registry import register


@register
class Recurrent(Layer):
    """A list of layers, run once for each step of sequences, with states that are carried along.

        state[0] = start,    tops[t], state[t+1] = body(bottoms[t], state[t])        for t = 0 ... T-1

    In the body a bottom goes by its own name (behind the last '/'), or as `inputs` says; there it is one step of it,
    and `static` ones are the same in each step. Each state is a further input; its `next` names the blob that is its
    value in the next step. Weights are the same in all steps, and their gradients are summed over them.

    With `cont`, as in Caffe's LSTM, a state begins anew in each sequence whose cont is 0 in a step: with zeros, or
    with what was learned. With `lengths` a sequence ends after so many steps: from there on its states stay as they are
    and its outputs are 0. With `carry` states start as the batch before left them. `reverse` goes from the last step
    to the first; `bidirectional` does both, each with weights of its own, and lays both outputs one behind the other
    along the last axis. The gradient goes back to the first step, or with `truncate: k` at most through k steps: it
    stops where a multiple of k begins. `recompute` keeps the states of about every sqrt(T)-th step only, and computes
    the others again for the backward pass; the results are the same to the bit.

    Bottoms: sequences (T, N, ...); static ones and starts of states (N, ...); cont (T, N), 0 or 1; lengths (N,). The
    last two have no gradient.
    Tops: for each of `outputs` the blob of all steps (T, N, ...), or of the last one (N, ...).
    Weights: those of the body, as body/LAYER.NAME, and in reverse/LAYER.NAME those of a bidirectional layer's way back;
    for each state with a learned start, NAME_start.
    Raises ShapeError where bottoms do not fit together, where a name means nothing, where a state's next value has
    another shape, and where its shape does not follow from the body, so that `shape` must say it.

    Example: {name: rnn, type: Recurrent, bottom: x, states: {h: {next: h_new}}, outputs: h_new, body: [{name: i2h,
      type: InnerProduct, bottom: x, num_output: 32}, {name: h2h, type: InnerProduct, bottom: h, num_output: 32},
      {name: sum, type: Eltwise, bottom: [i2h, h2h]}, {name: h_new, type: TanH}]}

    Source: Elman 1990; Werbos 1990, Backpropagation through time; Caffe's recurrent_layer.cpp, which unrolls in time.
    """

    class Params(LayerParams):
        """What runs in each step, and what goes from step to step."""

        by_part: ClassVar[frozenset[str]] = frozenset({"states", "blocks"})

        body: Layers = Field(description="The layers of one step.")
        blocks: Blocks = Field({}, description="Blocks that the body uses, by name.")
        states: dict[str, StateParams] = Field({}, description="What goes from step to step, by name in the body.")
        outputs: list[OutputParams] = Field(min_length=1, description="The body's blobs that become tops, in order.")
        inputs: list[str] = Field([], description="What the bottoms are called in the body; none: as the blobs are.")
        static: list[str] = Field([], description="The inputs that are the same in each step, and have no time axis.")
        cont: str | None = Field(None, description="The bottom that is 0 in steps where a sequence begins, and else 1.")
        lengths: str | None = Field(None, description="The bottom that tells how many steps each sequence has.")
        carry: bool = Field(False, description="Whether states start as the batch before left them.")
        reverse: bool = Field(False, description="Whether to go from the last step to the first.")
        bidirectional: bool = Field(False, description="Whether to go both ways, each with weights of its own.")
        truncate: int | None = Field(None, gt=0, description="Steps after which the gradient stops; none: never.")
        recompute: bool = Field(False, description="Whether to compute most steps again, to save memory.")

        @model_validator(mode="after")
        def _one_way(self) -> Recurrent.Params:
            if self.carry and (self.reverse or self.bidirectional):
                raise ValueError("carry goes on where the batch before ended, and so cannot go with a way back")
            if self.reverse and self.bidirectional:
                raise ValueError("give reverse or bidirectional, not both")
            return self

    bottoms = (1, None)
    tops = (1, None)

    def __init__(self, params: LayerParams, phase: str = "train", num_tops: int = 1):
        super().__init__(params, phase, num_tops)
        self._undo: list[list[Any]] = []

    def ways(self, bottoms: Sequence[Shape]) -> list[Way]:
        """The ways through time. Raises ShapeError where the bottoms do not fit together."""
        p = self.params
        names = names_of(p.inputs, self.bottom_names, len(bottoms))
        roles = find_roles(names, p.states, p.static, p.cont, p.lengths)
        steps, rows = _steps_and_rows(bottoms, names, roles)
        one_memory = p.recompute or self.phase != "train"
        return [
            Way(self, name, p.states, p.outputs, roles, steps, rows, back, p.carry, p.truncate, one_memory)
            for name, back in (("body", p.reverse), *([("reverse", True)] if p.bidirectional else []))
        ]

    def plan(self, *bottoms: Shape) -> Plan:
        p, ways = self.params, self.ways(bottoms)
        if self.num_tops != len(p.outputs):
            raise ShapeError(f"{len(p.outputs)} outputs need as many tops, not {self.num_tops}", "outputs")
        for state, each in p.states.items() if p.carry else ():
            if each.start != ZEROS and (p.cont is None or each.start != LEARNED):
                message = f"with carry the state {state!r} starts as the batch before left it, and not as start says"
                raise ShapeError(f"{message}; leave that out", "states", state, "start")
        plans = [way.plan(bottoms) for way in ways]
        tops: list[Shape] = []
        for i, (output, shape) in enumerate(zip(p.outputs, plans[0].outputs, strict=True)):
            if len(plans) > 1 and len(shape) < 2:
                raise ShapeError(f"{output.blob!r} has no axis along which both ways could lie", "outputs", i)
            both = shape if len(plans) == 1 else (*shape[:-1], 2 * shape[-1])
            tops.append((ways[0].steps, *both) if output.take == "all" else both)
        steering = ways[0].roles.steering
        return Plan(
            tops=tops,
            weights=[weight for plan in plans for weight in plan.weights],
            scratch=[scratch for plan in plans for scratch in plan.scratch],
            state=[state for plan in plans for state in plan.state],
            gradients=[i not in steering for i in range(len(bottoms))],
            reads_bottoms=None if ways[0].one_memory else (),
            reads_tops=(),
            bodies=[plan.body for plan in plans],
        )

    def prepare(self, bottoms: Sequence[Shape], propagate_down: Sequence[bool] | None) -> None:
        for way in self.ways(bottoms):
            way.prepare(propagate_down)

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        ways = self.ways([blob.shape for blob in bottom])
        self._undo = [way.forward(bottom, self._halves([blob.data for blob in top], i)) for i, way in enumerate(ways)]

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        diffs = [blob.diff if down else None for blob, down in zip(bottom, propagate_down, strict=True)]
        for diff in diffs:
            if diff is not None:
                diff[...] = 0
        for i, way in enumerate(self.ways([blob.shape for blob in bottom])):
            halves = self._halves([blob.diff for blob in top], i)
            way.backward(halves, propagate_down, bottom, diffs, self._undo[i])

    def jvp(
        self, bottom: Bottoms, top: Tops, bottom_tangent: Sequence[Array | None], top_tangent: Sequence[Array]
    ) -> None:
        for i, way in enumerate(self.ways([blob.shape for blob in bottom])):
            way.jvp(bottom, bottom_tangent, self._halves(top_tangent, i), self._undo[i])

    def _halves(self, tops: Sequence[Array], way: int) -> list[Array]:
        """A way's part of the tops."""
        if not self.params.bidirectional:
            return list(tops)
        return [top[..., way * (top.shape[-1] // 2) :][..., : top.shape[-1] // 2] for top in tops]


def _steps_and_rows(bottoms: Sequence[Shape], names: Sequence[str], roles: Roles) -> tuple[int, int]:
    """T and N. Raises ShapeError where the bottoms do not agree on them."""
    timed = [*roles.sliced.values(), *([] if roles.cont is None else [roles.cont])]
    if not timed:
        raise ShapeError("needs a bottom of (steps, sequences, ...); all are the same in each step", "bottom")
    first = bottoms[timed[0]]
    for i in timed:
        if len(bottoms[i]) < 2 or (i == roles.cont and len(bottoms[i]) > 2):
            wanted = "(steps, sequences, ...)" if i != roles.cont else "(steps, sequences)"
            raise ShapeError(f"the bottom {names[i]!r} must be {wanted}, not {shape_text(bottoms[i])}", "bottom", i)
    for i in timed:
        if bottoms[i][:2] != first[:2]:
            there, here = shape_text(first[:2]), shape_text(bottoms[i][:2])
            message = f"the bottom {names[i]!r} has {here} steps and sequences, but {names[timed[0]]!r} has {there}"
            raise ShapeError(message, "bottom", i)
    if roles.lengths is not None and bottoms[roles.lengths] != first[1:2]:
        here = shape_text(bottoms[roles.lengths])
        raise ShapeError(f"lengths must be one number for each of {first[1]} sequences, not {here}", "lengths")
    return first[0], first[1]
