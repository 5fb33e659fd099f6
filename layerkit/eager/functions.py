"""Layer types as functions, and as objects that keep their weights from call to call."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from layerkit.eager.parameters import Parameters
from layerkit.eager.tape import Tape, current, is_open
from layerkit.eager.variable import Variable
from layerkit.registry import layer_class

Result = Variable | tuple[Variable, ...]

_ENDING = re.compile(r"(?<=[a-z])[A-Z]{1,2}(?=\d*$)")
_WORD = re.compile(r"[A-Z]{2,}(?=[A-Z][a-z])|[A-Z]*[a-z0-9]+|[A-Z]+")


@functools.cache
def snake_case(type: str) -> str:
    """A layer type's name as that of a function: InnerProduct inner_product, ReLU relu, LSTMUnit lstm_unit."""
    return "_".join(_WORD.findall(_ENDING.sub(lambda match: match[0].lower(), type))).lower()


@functools.cache
def function_of(type: str) -> Callable[..., Result]:
    """The function of a layer type; its documentation is the type's."""

    def function(
        *bottoms: Any,
        name: str | None = None,
        top: int | str | list[str] | None = None,
        weights_of: Variable | str | None = None,
        **params: Any,
    ) -> Result:
        return _tape_of(bottoms).call(
            type, bottoms, params, name=name, top=top, weights_of=weights_of, stem=snake_case(type)
        )

    function.__name__ = function.__qualname__ = snake_case(type)
    function.__doc__ = layer_class(type).__doc__
    return function


class LayerObject:
    """A layer with weights of its own: `fc = F.InnerProduct(num_output=20)`, and then `fc(x)` as often as wanted.

    Weights are made by the first call on a tape, and shared by all on it, and on tapes that share its weights. `name`
    is the layer's; left out, the tape gives one.
    """

    def __init__(self, type: str, *, name: str | None = None, **settings: Any):
        self.type = type
        self.name = name
        self.settings = settings
        self._names: WeakKeyDictionary[Parameters, str] = WeakKeyDictionary()

    def __call__(self, *bottoms: Any) -> Result:
        """Run the layer on these bottoms."""
        tape = _tape_of(bottoms)
        name = self.name or self._names.get(tape.parameters)
        if name is None:
            owners = {key.partition(".")[0] for key in tape.parameters.blobs}
            name = self._names[tape.parameters] = tape.names.new(snake_case(self.type), owners)
        return function_of(self.type)(*bottoms, name=name, **self.settings)

    def __repr__(self) -> str:
        return f"<LayerObject {self.type}{f' {self.name!r}' if self.name else ''}>"


def _tape_of(bottoms: tuple[Any, ...]) -> Tape:
    """The tape that is open; where none is, that of the first variable."""
    own = next((each.tape for each in bottoms if isinstance(each, Variable)), None)
    return current() if own is None or is_open() else own
