"""What a net shows of itself under pycaffe's names: blobs, weights, layers, inputs and outputs, and their order."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from layerkit.blob import Array
from layerkit.graph import Node
from layerkit.net import Net as Inner
from layerkit.pycaffe.blob import Blob
from layerkit.pycaffe.layer import shown
from layerkit.pycaffe.reading import Words

_INPUT = "Input"


class Views:
    """The tables of a net, in the order of its file. `inner` is the net of layerkit that they show.

    Caffe puts a Split layer behind each blob that several layers read, and lists it and its copies; here there is none.
    """

    inner: Inner
    """The net of layerkit underneath."""

    def _show(self, inner: Inner, words: Words) -> None:
        self.inner = inner
        self._words = words
        nodes, last = inner.graph.nodes, inner.graph.last
        self._ours = {words.blob(name): name for name in last}
        """Blobs' names in layerkit, by those in the file."""
        self._nodes = [node.name for node in nodes]
        tops = {node.name: [words.blob(ref.name) for ref in node.tops] for node in nodes}
        given = [name for node in nodes if node.spec.type == _INPUT for name in tops[node.name]]
        self.inputs: list[str] = given
        """Names of the blobs that the script fills: the tops of Input layers."""
        self.outputs: list[str] = sorted(words.blob(name) for name in inner.outputs)
        """Names of the blobs that no layer reads, in the order of the alphabet, as in Caffe."""
        self.blobs: OrderedDict[str, Blob] = OrderedDict(
            (words.blob(name), Blob(self._finder(name), name=words.blob(name), given=words.blob(name) in given))
            for name in last
        )
        """Blobs by name, from input to output."""
        self.params: OrderedDict[str, list[Blob]] = OrderedDict(
            (words.layer(node.name), list(self._weights(node))) for node in nodes if node.plan.weights
        )
        """Weights by layer, in Caffe's order: of a convolution the weight, then the bias."""
        self._layer_names = [words.layer(name) for name in self._nodes]
        self._blob_names = list(self.blobs)
        kinds = [words.type(node.name, node.spec.type) for node in nodes]
        self.layers: list[Any] = [
            shown(node.layer, name, kind, self.params.get(name, []))
            for node, name, kind in zip(nodes, self._layer_names, kinds, strict=True)
        ]
        """The layers, each with `type` and `blobs`; of a Python layer the object of its class."""
        self.layer_dict: OrderedDict[str, Any] = OrderedDict(zip(self._layer_names, self.layers, strict=True))
        """The layers by name."""
        self.top_names: OrderedDict[str, list[str]] = OrderedDict(
            (words.layer(name), names) for name, names in tops.items()
        )
        """Each layer's tops."""
        self.bottom_names: OrderedDict[str, list[str]] = OrderedDict(
            (words.layer(node.name), [words.blob(ref.name) for ref in node.bottoms]) for node in nodes
        )
        """Each layer's bottoms."""
        self.blob_loss_weights: OrderedDict[str, float] = OrderedDict((name, 0.0) for name in self.blobs)
        """What each blob counts in the loss: 0 for most."""
        for node in nodes:
            self.blob_loss_weights.update(zip(tops[node.name], node.loss_weights, strict=True))

    def _finder(self, name: str) -> Any:
        return lambda: self.inner.blobs[name]

    def _weights(self, node: Node) -> Iterator[Blob]:
        """A layer's weights; those that layers share have one diff, as in Caffe, with all that was summed."""
        for index, weight in enumerate(node.plan.weights):
            key = f"{node.name}.{weight.name}"
            yield Blob(
                lambda index=index, name=node.name: self.inner.params[name][index],  # type: ignore[misc]
                diff=lambda key=key: self._weight_diff(key),  # type: ignore[misc]
                name=f"{self._words.layer(node.name)}[{index}]",
            )

    def _weight_diff(self, key: str) -> Array:
        for slot in self.inner.flat.slots.values():
            for use in slot.uses:
                if use.key == key:
                    return slot.blob.diff.reshape(use.blob.shape, copy=False)
        raise KeyError(key)

    # -- by number, as Caffe's own code has it ---------------------------------------------------------------------

    @property
    def _inputs(self) -> list[int]:
        return [self._blob_names.index(name) for name in self.inputs]

    @property
    def _outputs(self) -> list[int]:
        return [self._blob_names.index(name) for name in self.outputs]

    def _top_ids(self, layer: int) -> list[int]:
        return [self._blob_names.index(name) for name in self.top_names[self._layer_names[layer]]]

    def _bottom_ids(self, layer: int) -> list[int]:
        return [self._blob_names.index(name) for name in self.bottom_names[self._layer_names[layer]]]
