"""DummyData."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from layerkit.blob import Shape
from layerkit.errors import ShapeError
from layerkit.fillers import Filler
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Tops
from layerkit.layers.data.top_shapes import Dims, Length, top_shapes
from layerkit.registry import register
from layerkit.words import counted

OLD = ("num", "channels", "height", "width")


@register
class DummyData(Layer):
    """Made-up data: tops filled by a rule, a constant or noise.

    Noise is drawn anew at each forward pass; the draws are the layer's own, and a resumed run goes on with them. In the
    derived predict phase the layer stays what it is.

    Bottoms: none. Tops: one or more, in the shapes given.
    Raises ShapeError where the number of shapes or fillers is neither one nor that of the tops, or where a filler is
    not for such a shape.

    Example: {name: noise, type: DummyData, shape: [64, 100], data_filler: {type: gaussian, std: 1.0}}

    Source: Caffe's dummy_data_layer.cpp, which writes a constant once and not at each pass.
    """

    class Params(LayerParams):
        """The shapes, and how each top is filled."""

        data_filler: list[Filler] = Field(
            [], description="How every top is filled, or one filler a top; none: with 0. A constant stays the same."
        )
        shape: Dims | list[Dims] = Field(
            [],
            description="Shape of every top, as a list of lengths ([64, 3]); or one such list a top ([[8, 5], [8]]).",
        )
        num: list[Length] = Field(
            [], description="Old way to give a shape of four axes: the first length, or one a top."
        )
        channels: list[Length] = Field([], description="The second length, or one a top; with num.")
        height: list[Length] = Field([], description="The third length, or one a top; with num.")
        width: list[Length] = Field([], description="The fourth length, or one a top; with num.")

        @model_validator(mode="after")
        def _one_way(self) -> DummyData.Params:
            old = [name for name in OLD if getattr(self, name)]
            if old and "shape" in self.model_fields_set:
                raise ValueError(f"give shape or {old[0]}, not both")
            if old and len(old) < len(OLD):
                missing = next(name for name in OLD if name not in old)
                raise ValueError(f"{old[0]} needs {missing} too; shape says it all in one")
            if not old and "shape" not in self.model_fields_set:
                raise ValueError("give the shape of the tops")
            return self

    bottoms = (0, 0)
    tops = (1, None)

    def plan(self, *bottoms: Shape) -> Plan:
        p = self.params
        shapes = list(zip(*(self._each(name) for name in OLD), strict=True)) if p.num else None
        shapes = shapes or top_shapes(p.shape, self.num_tops)
        fillers = self._fillers()
        for shape, filler in zip(shapes, fillers, strict=True):
            try:
                filler.check(shape)
            except ShapeError as error:
                raise ShapeError(str(error), "data_filler") from None
        return Plan(tops=shapes, random=any(filler.type != "constant" for filler in fillers))

    def _fillers(self) -> list[Filler]:
        """The filler of each top."""
        return self._each("data_filler") if self.params.data_filler else [Filler()] * self.num_tops

    def _each(self, name: str) -> list[Any]:
        """A parameter's value for each top: the only one there is, or one each."""
        given: list[Any] = getattr(self.params, name)
        if len(given) not in (1, self.num_tops):
            raise ShapeError(f"it has {counted(self.num_tops, 'top')} but {len(given)} entries in {name}", name)
        return given * self.num_tops if len(given) == 1 else given

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        for each, filler in zip(top, self._fillers(), strict=True):
            filler.fill(each.data, self.rng)
