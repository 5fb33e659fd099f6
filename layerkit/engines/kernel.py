"""What an engine is: it looks at a layer, or at a chain of layers, and gives a kernel that runs in their place.

A kernel is made once for a layer's shapes. Bound to blobs it gives functions without arguments, so that nothing is
looked up while a net runs. It keeps the layer's contract to the letter: it writes every top's data; backward, it
overwrites the diffs that it is asked for, and touches nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from layerkit.blob import Array, Shape
from layerkit.layer import Bottoms, Layer, Tops

Run = Callable[[], None]
"""A computation that is bound to all that it reads and writes."""
Blend = Callable[[float, float], None]


@dataclass(frozen=True)
class Work:
    """A layer, or a chain in which each layer but the first reads just the top of the one before.

    `bottoms` are the shapes of the first layer's bottoms, `tops` those of the last one's tops. With `trains` a backward
    pass may follow each forward pass.
    """

    layers: tuple[Layer, ...]
    bottoms: tuple[Shape, ...]
    tops: tuple[Shape, ...]
    trains: bool

    @property
    def types(self) -> tuple[str, ...]:
        """The types of the layers."""
        return tuple(type(layer).__name__ for layer in self.layers)

    def of_type(self, name: str) -> Any:
        """The first layer of a type, or None."""
        return next((layer for layer in self.layers if type(layer).__name__ == name), None)

    @property
    def learns(self) -> bool:
        """Whether the weights are those of a net in training, which change with each step."""
        return self.trains and self.layers[0].phase == "train"

    @property
    def layer(self) -> Any:
        """The first layer."""
        return self.layers[0]


class Kernel:
    """Runs some work. The attributes say of its backward pass what a Plan says of a layer's."""

    implementation: str = ""
    """What runs, for people who want to know why something is fast or slow."""
    reads_bottoms: Collection[int] = ()
    reads_tops: Collection[int] = ()
    shares_data: bool = False
    """Whether top 0 may lie in bottom 0's memory."""
    shares_diff: bool = False
    """Whether bottom 0's diff may lie where top 0's does."""
    remembers: bool = False
    """Whether it keeps something of its own from the forward to the backward pass."""
    spoils: bool = False
    """Whether its backward pass may change the tops' diffs."""
    passes: Collection[int] = ()
    """The bottoms whose diff is the top's diff unchanged, so that both may be one array."""

    def forward(self, bottom: Bottoms, top: Tops) -> Run:
        """A function that writes the tops' data."""
        raise NotImplementedError(f"{type(self).__name__} has no forward pass")

    def backward(
        self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms, asked: Sequence[Collection[str]]
    ) -> Run:
        """A function that writes the bottoms' diffs where `propagate_down`, and those of each layer's weights `asked`.

        It is asked for at least one. It may change the tops' diffs only if it says that it `spoils` them.
        """
        raise NotImplementedError(f"{type(self).__name__} has no backward pass")


class Engine:
    """Base of engines, and the one that leaves everything to the layers' own numpy code."""

    name: ClassVar[str] = "numpy"
    channels_last: ClassVar[bool] = False
    """Whether blobs of four and five axes lie channels-last in memory."""
    library: ClassVar[int] = 0
    """Bytes of the engine's library and of the code that it compiles, about; for all nets together."""
    own: int = 0
    """Bytes of arrays that kernels made for themselves."""
    blend_factor: ClassVar[int] = 1
    """How many times as many elements `blend` is best given at a time as numpy code is."""

    def enter(self) -> None:
        """Called before each pass, in the thread that it runs in. Raises UsageError where the engine cannot run."""

    def kernel(self, work: Work) -> Kernel | None:
        """A kernel for this work, or None where the layers' own code runs. Of chains, None says not to join them."""
        return None

    def why_not(self, types: tuple[str, ...]) -> str:
        """Why there is no kernel for a layer or chain of these types, in words; nothing where none is expected."""
        return ""

    def add(self, total: Array, part: Array) -> Run | None:
        """A function that adds `part` to `total`, both of one shape, or None where numpy does it."""
        return None

    def blend(self, out: Array, keep: float, first: Array, second: Array) -> Blend | None:
        """A function of a and b that computes out = keep * out + a * first + b * second, or None where numpy does it.

        All are of one axis and one length; `first` may be `out` itself where `keep` is 0.
        """
        return None


def adding(total: Array, part: Array) -> Run:
    """A function that adds `part` to `total` by numpy."""

    def run() -> None:
        np.add(total, part, out=total)

    return run
