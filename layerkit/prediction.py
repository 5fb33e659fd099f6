"""The predict net of a snapshot, and what `net.predict` does around the forward pass: raw samples to answers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from layerkit import graph
from layerkit.blob import Array, Shape, shape_text
from layerkit.datasets import transform
from layerkit.errors import ShapeError, SnapshotError, UnknownNameError
from layerkit.layer import SampleInfo
from layerkit.registry import layer_class
from layerkit.spec import load_run


def build(predict: Mapping[str, Any], samples: Mapping[str, SampleInfo], *, allow_python: bool = False) -> graph.Graph:
    """The graph of the predict net that a snapshot holds, with what it says of its samples.

    Raises SnapshotError for a net that is not written out or has a layer that could use a file, and what building
    raises.
    """
    _expect_plain(predict)
    built = graph.build(load_run(predict).net, "predict", allow_python=allow_python)
    _expect_samples(built, samples)
    return graph.with_samples(built, samples)


def _expect_plain(predict: Mapping[str, Any]) -> None:
    """Raise SnapshotError unless a predict net is written out, and with no layer that could use a file."""
    net = predict.get("net")
    if not isinstance(net, Mapping):
        raise SnapshotError("its 'net' is no mapping")
    if "blocks" in net:
        raise SnapshotError("it has 'blocks', and a snapshot's layers are plain ones")
    for kind in _types_in(net.get("layers")):
        with contextlib.suppress(UnknownNameError):  # a filler's; or a layer's, of which the graph speaks
            if layer_class(kind).uses_files:
                raise SnapshotError(f"it has a {kind} layer, and a snapshot reads no other files")


def _types_in(tree: Any) -> Iterator[str]:
    """Every type that stands in a list of layers, those of layers' bodies too."""
    if isinstance(tree, Mapping):
        if isinstance(tree.get("type"), str):
            yield tree["type"]
        tree = list(tree.values())
    if isinstance(tree, list):
        for item in tree:
            yield from _types_in(item)


def _expect_samples(built: graph.Graph, samples: Mapping[str, SampleInfo]) -> None:
    """Raise SnapshotError or ShapeError where what is known of the samples does not fit the net's inputs."""
    for name in (name for name in built.inputs if name in samples):
        info, shape = samples[name], built.shapes[graph.Ref(name)][1:]
        if tuple(info.shape) != shape:
            what = f"samples of shape {shape_text(tuple(info.shape))}"
            raise SnapshotError(f"{what} do not fit the input {name!r}, which takes {shape_text(shape)}")
        transform.check(info)


def prepare(samples: Array, shape: Shape, info: SampleInfo | None) -> tuple[Array, bool]:
    """The batch to feed the net with, and whether `samples` was a single one.

    `shape` is that of one sample; `info` says what the source did to its samples. Raises ShapeError.
    """
    single = samples.shape == shape
    if not single and samples.shape[1:] != shape:
        wanted = f"one sample of {shape_text(shape)} or a batch of them"
        raise ShapeError(f"predict takes {wanted}, not {shape_text(samples.shape)}")
    batch = samples[np.newaxis] if single else samples
    return (transform.apply(batch, info) if info else batch), single


def answers(outputs: Mapping[str, Array], class_names: Sequence[str], single: bool) -> Any:
    """Class names where an output has one score a class, else a copy; several outputs as a dict."""
    found = {name: _answer(output, class_names) for name, output in outputs.items()}
    if single:
        found = {name: answer[0] for name, answer in found.items()}
    return found if len(found) > 1 else next(iter(found.values()))


def _answer(output: Array, class_names: Sequence[str]) -> Any:
    if class_names and output.ndim == 2 and output.shape[1] == len(class_names):
        return [class_names[k] for k in output.argmax(axis=1)]
    return output.copy()
