"""Forward and backward passes as pycaffe calls them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest

import numpy as np
import numpy.typing as npt

from layerkit.blob import Array, shape_text
from layerkit.errors import UnknownNameError, UsageError
from layerkit.pycaffe.views import Views

Hook = Callable[[int], object]
"""Is called with a layer's number."""


class Passes(Views):
    """A net's passes.

    What a pass gives are live views of blobs, as in Caffe. Gradients of weights add up from one backward pass to the
    next until `clear_param_diffs`. Unlike Caffe a backward pass from a layer or from given diffs reaches the inputs
    without force_backward.
    """

    def _prepare(self) -> None:
        self._hooks: dict[str, list[Hook]] = {
            name: [] for name in ("before_forward", "after_forward", "before_backward", "after_backward")
        }

    def forward(
        self, blobs: Sequence[str] | None = None, start: str | None = None, end: str | None = None, **kwargs: Array
    ) -> dict[str, Array]:
        """Run the layers from `start` to `end`, both included, on inputs given by name, or else as they are.

        Returns the outputs, or with `end` that layer's tops, and the blobs named in `blobs`. Raises UsageError unless
        all inputs or none are given, each of the batch's size.
        """
        first, last = self._index(start, 0), self._index(end, len(self._nodes) - 1)
        if kwargs:
            self._expect(kwargs, self.inputs, "inputs")
            for name, array in kwargs.items():
                self.blobs[name].data[...] = array
        self._forward(first, last)
        wanted = self.outputs if end is None else self.top_names[end]
        return {name: self.blobs[name].data for name in dict.fromkeys([*wanted, *(blobs or ())])}

    def _forward(self, first: int, last: int) -> float:
        """Run the layers by number; returns the loss."""
        self.reshape()
        before, after = self._hooks["before_forward"], self._hooks["after_forward"]
        if not before and not after:
            self.inner.forward(self._from(first), self._to(last))
            return self.inner.loss
        for index in range(first, last + 1):
            _call(before, index)
            self.inner.forward(self._nodes[index] if index else None, self._nodes[index])
            _call(after, index)
        return self.inner.loss

    def backward(
        self, diffs: Sequence[str] | None = None, start: str | None = None, end: str | None = None, **kwargs: Array
    ) -> dict[str, Array]:
        """Run the layers backward from `start` to `end`, both included, from the outputs' diffs given by name.

        Where none are given the diffs of the outputs, or of the tops of `start`, count as they are: of losses their
        weights, of others what the script wrote into `net.blobs[name].diff`. Returns the diffs of the inputs, or with
        `end` of that layer's bottoms, and of the blobs named in `diffs`. Raises UsageError unless all outputs or none
        are given, each of the batch's size.
        """
        first, last = self._index(start, len(self._nodes) - 1), self._index(end, 0)
        if kwargs:
            self._expect(kwargs, self.outputs, "outputs")
            for name, array in kwargs.items():
                self.blobs[name].diff[...] = array
        self._backward(first, last)
        wanted = self.inputs if end is None else self.bottom_names[end]
        return {name: self.blobs[name].diff for name in dict.fromkeys([*wanted, *(diffs or ())])}

    def _backward(self, first: int, last: int) -> None:
        """Run the layers backward by number."""
        before, after = self._hooks["before_backward"], self._hooks["after_backward"]
        if before or after:
            for index in range(first, last - 1, -1):
                _call(before, index)
                self.inner.backward(self._nodes[index], self._nodes[index], accumulate=True)
                _call(after, index)
        elif first == len(self._nodes) - 1:
            self.inner.backward(None, self._from(last), accumulate=True, **self._seeds())
        else:
            self.inner.backward(self._nodes[first], self._from(last), accumulate=True)

    def _seeds(self) -> dict[str, Array]:
        """The outputs' diffs that the script has written; none where all are what the losses give.

        As in Caffe, with force_backward a net without losses runs backward from its outputs whatever their diffs.
        """
        if self.inner.graph.force_backward and not any(self.blob_loss_weights.values()):
            return {self._ours[name]: self.blobs[name].diff.copy() for name in self.outputs}
        held = {
            name: (self.inner.blobs[self._ours[name]].diff, self.blob_loss_weights[name])
            for name in self.outputs
            if self.inner.blobs[self._ours[name]].has_diff
        }
        if all((diff == weight).all() for diff, weight in held.values()):
            return {}
        return {self._ours[name]: diff.copy() for name, (diff, _) in held.items() if diff.any()}

    def reshape(self) -> None:
        """Fit the net to the shapes that the inputs have now. Raises ShapeError, naming the layer that does not fit."""
        shapes = {self._ours[name]: self.blobs[name].shape for name in self.inputs}
        if shapes:
            self.inner.reshape(**shapes)

    def clear_param_diffs(self) -> None:
        """Set the gradients of all weights to zero."""
        for slot in self.inner.flat.slots.values():
            if slot.blob.has_diff:
                slot.blob.diff[...] = 0

    # -- many batches ----------------------------------------------------------------------------------------------

    def forward_all(self, blobs: Sequence[str] | None = None, **kwargs: Array) -> dict[str, Array]:
        """Run any number of samples batch by batch; the outputs, and `blobs`, of all of them."""
        found = [_copies(self.forward(blobs, None, None, **batch)) for batch in self._batch(kwargs)]
        return _joined(found, _count(kwargs))

    def forward_backward_all(
        self, blobs: Sequence[str] | None = None, diffs: Sequence[str] | None = None, **kwargs: Array
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Run any number of samples forward and backward batch by batch; outputs' data and inputs' diffs of all."""
        ahead = self._batch({name: kwargs[name] for name in self.inputs if name in kwargs})
        back = self._batch({name: kwargs[name] for name in self.outputs if name in kwargs})
        made, flown = [], []
        nothing: dict[str, Array] = {}
        for inputs, seeds in zip_longest(ahead, back, fillvalue=nothing):
            made.append(_copies(self.forward(blobs, None, None, **inputs)))
            flown.append(_copies(self.backward(diffs, None, None, **seeds)))
        return _joined(made, _count(kwargs)), _joined(flown, _count(kwargs))

    def _batch(self, arrays: Mapping[str, Array]) -> Iterator[dict[str, Array]]:
        """The arrays in parts of the batch's size, the last one filled up with zeros."""
        size = next(iter(self.blobs.values())).shape[0]
        for at in range(0, _count(arrays), size):
            parts = {name: np.asarray(array[at : at + size]) for name, array in arrays.items()}
            yield {name: _filled(part, size) for name, part in parts.items()}

    # -- hooks -----------------------------------------------------------------------------------------------------

    @property
    def hooked(self) -> bool:
        """Whether there are hooks."""
        return any(self._hooks.values())

    def before_forward(self, hook: Hook) -> None:
        """Call `hook` with each layer's number before it runs forward. With hooks layers run one by one, slower."""
        self._hooks["before_forward"].append(hook)

    def after_forward(self, hook: Hook) -> None:
        """Call `hook` with each layer's number after it ran forward."""
        self._hooks["after_forward"].append(hook)

    def before_backward(self, hook: Hook) -> None:
        """Call `hook` with each layer's number before it runs backward."""
        self._hooks["before_backward"].append(hook)

    def after_backward(self, hook: Hook) -> None:
        """Call `hook` with each layer's number after it ran backward."""
        self._hooks["after_backward"].append(hook)

    # -- what is given -------------------------------------------------------------------------------------------

    def _index(self, layer: str | None, default: int) -> int:
        if layer is None:
            return default
        if layer not in self.layer_dict:
            raise UnknownNameError("layer", layer, self._layer_names)
        return self._layer_names.index(layer)

    def _from(self, index: int) -> str | None:
        return self._nodes[index] if index else None

    def _to(self, index: int) -> str | None:
        return self._nodes[index] if index < len(self._nodes) - 1 else None

    def _expect(self, given: Mapping[str, npt.ArrayLike], names: Sequence[str], what: str) -> None:
        """Raise UsageError unless these arrays are those of `names`, as long as the batch."""
        if set(given) != set(names):
            raise UsageError(f"the net's {what} are {', '.join(names) or 'none'}, but {', '.join(given)} were given")
        for name, array in given.items():
            shape, wanted = np.shape(array), self.blobs[name].shape
            if shape[:1] != wanted[:1]:
                raise UsageError(f"{name!r} is {shape_text(shape)}, but the batch is {shape_text(wanted)}")


def _call(hooks: Iterable[Hook], index: int) -> None:
    for hook in hooks:
        hook(index)


def _count(arrays: Mapping[str, Array]) -> int:
    return len(next(iter(arrays.values()), ()))


def _copies(arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {name: array.copy() for name, array in arrays.items()}


def _filled(part: Array, size: int) -> Array:
    """A batch filled up with zeros."""
    missing = size - len(part)
    return np.concatenate([part, np.zeros((missing, *part.shape[1:]), part.dtype)]) if missing else part


def _joined(batches: Sequence[Mapping[str, Array]], count: int) -> dict[str, Array]:
    """The batches' arrays one after the other, without what the last one was filled up with."""
    names = batches[0] if batches else ()
    return {name: np.concatenate([np.atleast_1d(batch[name]) for batch in batches])[: count or None] for name in names}
