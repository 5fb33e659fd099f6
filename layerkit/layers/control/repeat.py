"""Repeat: a body of layers, run a number of times, or until it says that it is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from pydantic import Field, model_validator

from layerkit.blob import Array, Shape
from layerkit.errors import ShapeError
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Tops
from layerkit.layers.recurrent.roles import Blocks, Layers, OutputParams, StateParams, find_roles, names_of
from layerkit.layers.recurrent.way import Way
from layerkit.registry import register

MAX_TIMES = 1_000_000
"""Most runs of a body: more would only be a slip, and take all memory."""


@register
class Repeat(Layer):
    """A list of layers, run again and again on what it made, so many times or until done.

        state[0] = start,    state[i+1] = body(bottoms, state[i])        for i = 0 ... times-1

    In the body a bottom goes by its own name (behind the last '/'), or as `inputs` says, and is the same each time.
    Each state is a further input; its `next` names the blob that is its value the next time. `times` says how often the
    body runs. Or `until` names a blob of the body: once all its elements are other than 0, the body does not run again;
    it runs `max_times` at the most, and once at least. The gradient goes back through all runs that there were.
    `recompute` keeps the states of about every sqrt(times)-th run only, and computes the others again.

    Bottoms: of any shapes, with N rows; starts of states (N, ...).
    Tops: for each of `outputs` the blob of the last run (N, ...).
    Weights: those of the body, as body/LAYER.NAME; for each state with a learned start, NAME_start.
    Raises ShapeError where bottoms do not fit together, where a name means nothing, where a state's next value has
    another shape, and where its shape does not follow from the body, so that `shape` must say it.

    Example: {name: root, type: Repeat, bottom: a, states: {x: {next: x_new, start: a}}, inputs: [a], times: 5,
      outputs: x_new, body: [{name: x_new, type: Expression, bottom: x, expr: "x - (x * x - 2) / (2 * x)"}]}

    Source: ONNX's Loop, with the states of its own.
    """

    class Params(LayerParams):
        """What runs, and how often."""

        by_part: ClassVar[frozenset[str]] = frozenset({"states", "blocks"})

        body: Layers = Field(description="The layers of one run.")
        blocks: Blocks = Field({}, description="Blocks that the body uses, by name.")
        states: dict[str, StateParams] = Field(min_length=1, description="What goes from run to run, by name.")
        outputs: list[OutputParams] = Field(min_length=1, description="The body's blobs that become tops, in order.")
        inputs: list[str] = Field([], description="What the bottoms are called in the body; none: as the blobs are.")
        times: int | None = Field(None, gt=0, le=MAX_TIMES, description="How often the body runs.")
        until: str | None = Field(None, description="The body's blob that ends it, once no element of it is 0.")
        max_times: int | None = Field(
            None, gt=0, le=MAX_TIMES, description="With until, how often it runs at the most."
        )
        recompute: bool = Field(False, description="Whether to compute most runs again, to save memory.")

        @model_validator(mode="after")
        def _one_end(self) -> Repeat.Params:
            if (self.times is None) == (self.until is None) or (self.until is None) != (self.max_times is None):
                raise ValueError("needs either times, or until with max_times")
            return self

    bottoms = (1, None)
    tops = (1, None)

    def __init__(self, params: LayerParams, phase: str = "train", num_tops: int = 1):
        super().__init__(params, phase, num_tops)
        self._undo: list[Callable[[], None]] = []

    @property
    def ran(self) -> int:
        """How often the body ran in the last forward pass."""
        return len(self._undo) if self.params.until is not None else int(self.params.times)

    def ways(self, bottoms: Sequence[Shape]) -> list[Way]:
        """The only way through the runs. Raises ShapeError where the bottoms do not fit together."""
        p = self.params
        roles = find_roles(names_of(p.inputs, self.bottom_names, len(bottoms)), p.states, None)
        if not bottoms[0]:
            raise ShapeError("bottom 0 is a single number; it needs an axis for the rows", "bottom")
        last = [output.model_copy(update={"take": "last"}) for output in p.outputs]
        one_memory = p.recompute or self.phase != "train"
        times = p.times or p.max_times
        return [Way(self, "body", p.states, last, roles, times, bottoms[0][0], one_memory=one_memory, until=p.until)]

    def plan(self, *bottoms: Shape) -> Plan:
        for i, output in enumerate(self.params.outputs):
            if output.take == "all" and "take" in output.model_fields_set:
                raise ShapeError("gives the blobs of the last run alone; leave take out", "outputs", i, "take")
        if self.num_tops != len(self.params.outputs):
            raise ShapeError(f"{len(self.params.outputs)} outputs need as many tops, not {self.num_tops}", "outputs")
        (way,) = self.ways(bottoms)
        plan = way.plan(bottoms)
        return Plan(
            tops=plan.outputs,
            weights=plan.weights,
            scratch=plan.scratch,
            reads_bottoms=None if way.one_memory else (),
            reads_tops=(),
            bodies=[plan.body],
        )

    def prepare(self, bottoms: Sequence[Shape], propagate_down: Sequence[bool] | None) -> None:
        (way,) = self.ways(bottoms)
        way.prepare(propagate_down)

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        (way,) = self.ways([blob.shape for blob in bottom])
        self._undo = way.forward(bottom, [blob.data for blob in top])

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        diffs = [blob.diff if down else None for blob, down in zip(bottom, propagate_down, strict=True)]
        for diff in diffs:
            if diff is not None:
                diff[...] = 0
        (way,) = self.ways([blob.shape for blob in bottom])
        way.backward([blob.diff for blob in top], propagate_down, bottom, diffs, self._undo)

    def jvp(
        self, bottom: Bottoms, top: Tops, bottom_tangent: Sequence[Array | None], top_tangent: Sequence[Array]
    ) -> None:
        (way,) = self.ways([blob.shape for blob in bottom])
        way.jvp(bottom, bottom_tangent, top_tangent, self._undo)
