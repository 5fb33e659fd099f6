"""Cond: one of two bodies of layers, as a blob says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Tops
from layerkit.layers.recurrent.roles import Blocks, Layers, names_of, take
from layerkit.layers.recurrent.step_shapes import plan_step
from layerkit.registry import register

THEN, OTHERWISE = "then", "otherwise"


@register
class Cond(Layer):
    """One of two lists of layers, chosen by a blob: for the whole batch, or sample by sample.

        tops = then(bottoms) where the condition is other than 0, else otherwise(bottoms)

    With `by: sample` the condition has one number for each sample, and each sample goes alone through its body, however
    many of them there are: what a body makes of one is not changed by the others. With `by: batch` the condition is a
    single number, and one body gets the batch. The other one does not run, and its weights get no gradient. In a body a
    bottom goes by its own name (behind the last '/'), or as `inputs` says; it does not read the condition.

    Bottoms: any number, (N, ...); among them the condition, (N,) or, by batch, of one element, without gradient.
    Tops: the blobs named in `outputs`, which both bodies make, in one shape.
    Weights: those of the bodies, as then/LAYER.NAME and otherwise/LAYER.NAME.
    Raises ShapeError where the bottoms do not fit together, where a name means nothing, and where the bodies make
    different shapes.

    Example: {name: cond, type: Cond, bottom: [x, large], condition: large, by: sample, outputs: y, then: [{name: y,
      type: Power, bottom: x, scale: 0.5}], otherwise: [{name: y, type: InnerProduct, bottom: x, num_output: 4}]}

    Source: ONNX's If; by sample, torch.where of what both would give.
    """

    class Params(LayerParams):
        """What decides, and what there is to choose from."""

        by_part: ClassVar[frozenset[str]] = frozenset({"blocks"})

        condition: str = Field(description="The bottom that decides.")
        then: Layers = Field(description="The layers that run where it is other than 0.")
        otherwise: Layers = Field(description="The layers that run where it is 0.")
        outputs: list[str] = Field(min_length=1, description="The blobs of both bodies that become tops, in order.")
        by: Literal["batch", "sample"] = Field("batch", description="Whether it decides for all or for each sample.")
        inputs: list[str] = Field([], description="What the bottoms are called in the bodies; none: as the blobs are.")
        blocks: Blocks = Field({}, description="Blocks that the bodies use, by name.")

    bottoms = (2, None)
    tops = (1, None)

    def _inputs(self, count: int) -> tuple[dict[str, int], int]:
        """What the bodies read, by name, and the position of the condition. Raises ShapeError."""
        names = names_of(self.params.inputs, self.bottom_names, count)
        at = take(self.params.condition, names, "condition")
        return {name: i for i, name in enumerate(names) if i != at}, at

    def plan(self, *bottoms: Shape) -> Plan:
        p = self.params
        if self.num_tops != len(p.outputs):
            raise ShapeError(f"{len(p.outputs)} outputs need as many tops, not {self.num_tops}", "outputs")
        inputs, at = self._inputs(len(bottoms))
        rows = self._rows(bottoms, inputs, at)
        shapes = {name: ((1, *bottoms[i][1:]) if p.by == "sample" else bottoms[i]) for name, i in inputs.items()}
        bodies, made = [], []
        for name, layers in ((THEN, p.then), (OTHERWISE, p.otherwise)):
            loop = {"sliced": frozenset(shapes), "runs": rows if p.by == "sample" else 1}
            body, found = plan_step(self, name, layers, shapes, {}, {}, p.outputs, 0, **loop)
            bodies.append(body)
            made.append(found)
        for i, (output, one, other) in enumerate(zip(p.outputs, *made, strict=True)):
            if one != other or (p.by == "sample" and one[0] != 1):
                here = f"{shape_text(one)} in then and {shape_text(other)} in otherwise"
                wanted = "have one shape in both" if one != other else "keep the rows apart"
                raise ShapeError(f"the output {output!r} must {wanted}; it is {here}", "outputs", i)
        return Plan(
            tops=[(rows, *shape[1:]) if p.by == "sample" else shape for shape in made[0]],
            gradients=[i != at for i in range(len(bottoms))],
            reads_bottoms=(at,),
            reads_tops=(),
            bodies=bodies,
        )

    def _rows(self, bottoms: Sequence[Shape], inputs: dict[str, int], at: int) -> int:
        """N. Raises ShapeError where a bottom has not so many rows."""
        if self.params.by == "batch":
            if bottoms[at] not in ((), (1,)):
                raise ShapeError(f"the condition must be a single number, not {shape_text(bottoms[at])}", "condition")
        elif len(bottoms[at]) != 1:
            raise ShapeError(f"the condition must be one number a sample, not {shape_text(bottoms[at])}", "condition")
        for i in inputs.values():
            if not bottoms[i]:
                raise ShapeError("a body cannot read a single number; give it an axis", "bottom", i)
            if self.params.by == "sample" and bottoms[i][0] != bottoms[at][0]:
                here, there = shape_text(bottoms[i]), shape_text(bottoms[at])
                raise ShapeError(f"a bottom of {here} has not as many samples as the condition, {there}", "bottom", i)
        return bottoms[at][0] if bottoms[at] else 1

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        for _, rows, piece in self._pieces(bottom):
            for name, i in self._inputs(len(bottom))[0].items():
                piece.give(name, bottom[i].data[rows])
            piece.forward()
            for output, blob in zip(self.params.outputs, top, strict=True):
                blob.data[rows] = piece.output(output).reshape(blob.data[rows].shape)

    def _pieces(self, bottom: Bottoms) -> Iterator[tuple[str, Any, Any]]:
        """The bodies that run, each with its rows and with what runs them."""
        chosen = bottom[self._inputs(len(bottom))[1]].data != 0
        for name, mask in ((THEN, chosen), (OTHERWISE, ~chosen)):
            count = int(np.count_nonzero(mask))
            if count:
                rows = slice(None) if self.params.by == "batch" else np.nonzero(mask)[0]
                yield name, rows, next(self.bodies[name].pieces([count]))

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        inputs = {name: i for name, i in self._inputs(len(bottom))[0].items() if propagate_down[i]}
        for name in (THEN, OTHERWISE):
            self.bodies[name].clear()
        for i in inputs.values():
            bottom[i].diff[...] = 0
        asked = {name: self._asked(name) for name in (THEN, OTHERWISE)}
        for name, rows, piece in self._pieces(bottom):
            diffs = {output: blob.diff[rows] for output, blob in zip(self.params.outputs, top, strict=True)}
            piece.backward(diffs, {}, [*inputs], (), (), [*asked[name]])
            for inner, i in inputs.items():
                bottom[i].diff[rows] = piece.diff(inner).reshape(bottom[i].diff[rows].shape)
        for name, own in asked.items():
            self.bodies[name].take({key: self.weights[whole].diff for key, whole in own.items()})

    def _asked(self, name: str) -> dict[str, str]:
        """The weights of a body that are asked for: their names there, and here."""
        inside = f"{name}/"
        return {key.removeprefix(inside): key for key in self.asked if key.startswith(inside)}

    def jvp(
        self, bottom: Bottoms, top: Tops, bottom_tangent: Sequence[Array | None], top_tangent: Sequence[Array]
    ) -> None:
        inputs, _ = self._inputs(len(bottom))
        moving = {name: tangent for name, i in inputs.items() if (tangent := bottom_tangent[i]) is not None}
        for tangent in top_tangent:
            tangent[...] = 0
        for name, rows, piece in self._pieces(bottom):
            inside = f"{name}/"
            weights = {k.removeprefix(inside): v for k, v in self.weight_tangents.items() if k.startswith(inside)}
            given = {inner: tangent[rows] for inner, tangent in moving.items()}
            found, _ = piece.jvp(given, {}, {}, weights)
            for output, tangent in zip(self.params.outputs, top_tangent, strict=True):
                tangent[rows] = found[output].reshape(tangent[rows].shape)
