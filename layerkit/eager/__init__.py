"""Define by run: layers as functions that compute at once, while a tape records what ran.

    import layerkit.eager as F

    tape = F.Tape(seed=1)
    first = F.InnerProduct(num_output=20, weight_filler="xavier")     # weights of its own, however often it is called
    for images, labels in batches:
        with tape:                                                    # a run, recorded; weights outlive it
            h = F.relu(first(images))
            y = F.inner_product(h, num_output=10, weight_filler="xavier", name="second")
            loss = F.softmax_with_loss(y, labels)
        loss.backward()
        tape.update(0.1)
    print(tape.to_yaml())                                             # the last run as a net in YAML

Every registered layer type is there twice, plug-ins included, with the parameters that it has in YAML: as a function by
its name in snake case, and as an object by its own name. Python decides what runs: `if`, `for`, recursion.

A call's bottoms are variables, arrays and numbers; the last two become inputs of the tape. It returns a variable, or a
tuple where there are several tops (`top=2`). Further arguments of every call:

    name         of the layer, and so of its weights: calls of one name on one tape share them
    top          the tops' names, or how many there are
    weights_of   a variable, or the name of a call: use the weights of that call

A call without a name gets the next of its type, `inner_product1`, `inner_product2`, counted afresh in each run. So in
runs that do the same, the same calls have the same weights; where runs differ, use names or objects.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy.typing as npt

from layerkit.eager.functions import LayerObject, function_of, snake_case
from layerkit.eager.tape import Tape, current
from layerkit.eager.updater import Updater
from layerkit.eager.variable import Variable
from layerkit.errors import did_you_mean
from layerkit.registry import layer_types

__all__ = ["LayerObject", "Tape", "Updater", "Variable", "input"]


def input(data: npt.ArrayLike, name: str | None = None) -> Variable:
    """Put an array on the tape that is open, as an input of the net that is recorded."""
    return current().input(data, name)


def __getattr__(name: str) -> Any:
    types = {snake_case(each): each for each in layer_types()}
    if name in types:
        return function_of(types[name])
    if name in types.values():
        return partial(LayerObject, name)
    raise AttributeError(f"module 'layerkit.eager' has no attribute {name!r}{did_you_mean(name, __dir__())}")


def __dir__() -> list[str]:
    types = layer_types()
    return sorted({*__all__, *types, *map(snake_case, types)})
