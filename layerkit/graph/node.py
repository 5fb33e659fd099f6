"""Node: a layer in its place in a graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerkit.graph.order import Ref
from layerkit.layer import Layer, Plan
from layerkit.spec import LayerSpec, NetState, ParamSpec

if TYPE_CHECKING:
    from layerkit.graph import Graph


def make_layer(spec: LayerSpec, state: NetState) -> Layer:
    """A layer that is told what it may know before it plans."""
    layer = spec.cls(spec.params, state.phase, len(spec.top or ()))
    layer.name = spec.name
    layer.bottom_names, layer.top_names = tuple(spec.bottom or ()), tuple(spec.top or ())
    layer.mark, layer.uses = spec.mark(), spec.uses
    layer.allow_python = state.allow_python
    return layer


@dataclass(frozen=True)
class Node:
    """A layer in its place: what it reads and writes, and what it planned for the shapes there."""

    spec: LayerSpec
    bottoms: tuple[Ref, ...]
    tops: tuple[Ref, ...]
    layer: Layer
    plan: Plan
    params: tuple[ParamSpec, ...]
    """How each weight is trained and shared."""
    bodies: Mapping[str, Graph]
    """The planned graphs of the layer's bodies."""

    @property
    def name(self) -> str:
        """The layer's name."""
        return self.spec.name

    @property
    def loss_weights(self) -> tuple[float, ...]:
        """Weight of each top in the loss: as written, else 1 for a loss's first top."""
        given = self.spec.loss_weight or ([1.0] if self.spec.cls.loss else [])
        return (*given, *(0.0 for _ in self.tops[len(given) :]))

    def learns(self, index: int) -> bool:
        """Whether weight `index` is trained."""
        return self.plan.weights[index].learned and self.params[index].lr_mult != 0

    def propagates(self, index: int) -> bool:
        """Whether a gradient can go to bottom `index`."""
        allowed = self.spec.propagate_down
        able = self.plan.gradients is None or self.plan.gradients[index]
        return able and (allowed is None or allowed[index])
