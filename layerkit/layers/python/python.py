"""Python."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Collection, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from pydantic import Field, PrivateAttr

from layerkit.blob import Array, Blob, Shape
from layerkit.errors import UsageError, did_you_mean
from layerkit.fillers import Filler
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Tops, Weight
from layerkit.layers.python.blobs import CaffeBlob, CaffeBlobs
from layerkit.registry import register

METHODS = ("setup", "reshape", "forward", "backward")


@register
class Python(Layer):
    """Runs a class of yours, written for pycaffe; it must be allowed, since it runs code.

    Whoever makes the net allows it: `allow_python=True` in Python, `--allow-python` on the command line. The class has
    the methods

        setup(bottom, top)         once: reads self.param_str, makes weights with self.blobs.add_blob(*shape)
        reshape(bottom, top)       before each forward pass: top[0].reshape(*shape)
        forward(bottom, top)       writes top[i].data
        backward(top, propagate_down, bottom)   writes or adds to bottom[i].diff and self.blobs[i].diff

    and may have any base. A file written for Caffe does `import caffe` and derives from `caffe.Layer`; any module
    `caffe` on Python's path that has a class `Layer`, even an empty one, serves, and so does what
    `layerkit.pycaffe.install()` puts there. `setup` and `reshape` run already when
    the net is planned, with blobs full of zeros. What the class keeps for itself is in no snapshot, and without bottoms
    the layer does not count as a source that can be rewound; in the derived predict phase it becomes an Input then.

    Bottoms: any number, of any shapes; none unless they are named. Tops: any number, as `reshape` or `forward` shapes
    them. Weights: as `setup` makes them, named blob0, blob1 ..., with the values that it writes.
    Raises UsageError without permission, for a module or class that is not there, and where the class raises
    something, with its place.

    Example: {name: loss, type: Python, bottom: [fc, label], module: pyloss, layer: EuclideanLossLayer, loss_weight: 1}

    Source: Caffe's Python (python_layer.hpp, pycaffe's _caffe.cpp).
    """

    class Params(LayerParams):
        module: str = Field(min_length=1, description="Module that holds the class, on Python's path (PYTHONPATH).")
        layer: str = Field(min_length=1, description="Name of the class.")
        param_str: str = Field("", description="Text for the class, which finds it as self.param_str.")

    bottoms = (0, None)
    tops = (0, None)

    _user: Any = None  # the user's object
    _tops: Sequence[CaffeBlob] = ()  # while planning
    _fillers: Sequence[Filler] = ()

    @property
    def user(self) -> Any:
        """The object of the user's class; None before the layer is planned."""
        return self._user

    def plan(self, *bottoms: Shape) -> Plan:
        below = [CaffeBlob(Blob.of(np.broadcast_to(np.float32(0), shape)), fixed=True) for shape in bottoms]
        if self._user is None:
            user = self._make()
            tops = [CaffeBlob(Blob()) for _ in range(self.num_tops)]
            self._call(user, "setup", below, tops)
            user.blobs.open = False
            self._user, self._tops = user, tops
            self._fillers = [_AsSetUp.to(blob.data) for blob in user.blobs]
        self._call(self._user, "reshape", below, self._tops)
        weights = [(blob.shape, filler) for blob, filler in zip(self._user.blobs, self._fillers, strict=True)]
        return Plan(
            tops=[top.shape for top in self._tops],
            weights=[Weight(f"blob{i}", shape, filler) for i, (shape, filler) in enumerate(weights)],
            dynamic=True,
            unbounded=True,
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        self.show_weights(())
        below, above = [CaffeBlob(blob, fixed=True) for blob in bottom], [CaffeBlob(blob) for blob in top]
        self._call(self._user, "reshape", below, above)
        self._call(self._user, "forward", below, above)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        asked = [blob for blob, down in zip(bottom, propagate_down, strict=True) if down]
        for blob in (*asked, *(self.weights[name] for name in self.asked)):
            blob.diff[...] = 0  # the class may add to them
        self.show_weights(self.asked)
        below = [CaffeBlob(blob, own_diff=down, fixed=True) for blob, down in zip(bottom, propagate_down, strict=True)]
        above = [CaffeBlob(blob, own_diff=True, fixed=True) for blob in top]
        self._call(self._user, "backward", above, list(propagate_down), below)

    def show_weights(self, asked: Collection[str] = ()) -> None:
        """Let the class see its weights where the net keeps them, with the diffs of those that are `asked` for."""
        for shown, (name, blob) in zip(self._user.blobs, self.weights.items(), strict=True):
            shown.show(blob, own_diff=name in asked)

    # -- the user's class ----------------------------------------------------------------------------------------

    def _make(self) -> Any:
        """An object of the class, with the attributes that pycaffe gives it."""
        p = self.params
        if not self.allow_python:
            raise UsageError(
                f"it would run code, the class {p.layer!r} of the module {p.module!r}, which must be allowed: "
                "allow_python=True in Python, --allow-python on the command line"
            )
        module = self._import()
        kinds = [name for name, thing in vars(module).items() if isinstance(thing, type) and hasattr(thing, "forward")]
        if p.layer not in kinds:
            raise UsageError(f"the module {p.module!r} has no layer class {p.layer!r}{did_you_mean(p.layer, kinds)}")
        cls = getattr(module, p.layer)
        for name in METHODS:
            if not callable(getattr(cls, name, None)):
                raise UsageError(f"the class {p.layer!r} of the module {p.module!r} has no method {name!r}")
        try:
            user = cls()
            user.param_str = p.param_str
            user.phase = 0 if self.phase == "train" else 1
            user.blobs = CaffeBlobs()
        except Exception as error:
            raise UsageError(f"making a {p.layer} raised {_described(error, module)}") from error
        return user

    def _import(self) -> ModuleType:
        name = self.params.module
        try:
            return importlib.import_module(name)
        except Exception as error:
            if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
                hint = "its folder must be in PYTHONPATH"
                raise UsageError(f"there is no module {error.name!r} on Python's path; {hint}") from None
            raise UsageError(f"importing the module {name!r} raised {_described(error)}") from error

    def _call(self, user: Any, method: str, *arguments: Any) -> None:
        """Call a method of the user's; what it raises becomes one sentence."""
        try:
            getattr(user, method)(*arguments)
        except Exception as error:
            what = _described(error, sys.modules.get(type(user).__module__))
            raise UsageError(f"{type(user).__name__}.{method} raised {what}") from error


class _AsSetUp(Filler):
    """Fills a weight with the values that `setup` gave it."""

    _values: Array = PrivateAttr(default_factory=lambda: np.empty(0))

    @classmethod
    def to(cls, values: Array) -> Filler:
        filler = cls()
        filler._values = values
        return filler

    def fill(self, array: Array, rng: np.random.Generator) -> None:
        array[...] = self._values


def _described(error: Exception, module: ModuleType | None = None) -> str:
    """An error's type, message and line: the last one of the module's, or at least none of the machinery's."""
    text = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename not in (__file__, importlib.__file__) and not frame.filename.startswith("<")
    ]
    home = getattr(module, "__file__", None)
    frames = [frame for frame in frames if frame.filename == home] or frames
    return f"{text} ({frames[-1].filename}, line {frames[-1].lineno})" if frames else text
