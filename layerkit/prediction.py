"""The predict net of a snapshot, and what `net.predict` does around the forward pass: raw samples to answers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from layerkit import graph
from layerkit.blob import Array, Shape, shape_text
from layerkit.datasets.files.tables.learned import Learned
from layerkit.datasets.transforms import of_info, shape_words
from layerkit.errors import ConfigError, DataError, LayerkitError, ShapeError, SnapshotError, UnknownNameError
from layerkit.given import as_array
from layerkit.registry import layer_class
from layerkit.samples import SampleInfo
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


def with_mean_images(samples: Mapping[str, SampleInfo], images: Mapping[str, Array]) -> dict[str, SampleInfo]:
    """What is known of the samples, together with the mean images that a snapshot holds, by input blob.

    Raises SnapshotError where one is spoken of that is not there.
    """
    for name, info in samples.items():
        if info.mean_shape and (name not in images or list(images[name].shape) != info.mean_shape):
            raise SnapshotError(f"there is no mean image of {shape_text(info.mean_shape)} for the input {name!r}")
    return {name: info.with_mean_image(images[name]) if info.mean_shape else info for name, info in samples.items()}


@contextlib.contextmanager
def blaming(snapshot: str) -> Iterator[None]:
    """Say of what goes wrong inside that the predict net in the snapshot cannot be used. Raises SnapshotError."""
    try:
        yield
    except (LayerkitError, RecursionError) as error:
        what = error.problems[0] if isinstance(error, ConfigError) else error
        raise SnapshotError(f"{snapshot}: the predict net inside cannot be used: {what}") from None


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
        of_info(info, np.dtype(np.float32))
        if info.table is not None and raw_shape(shape, info) != (numbers := Learned.from_data(info.table).numbers,):
            what = f"a table whose rows are {numbers} numbers"
            raise SnapshotError(f"{what} does not fit the input {name!r}, which takes {shape_text(shape)}")


def prepare(name: str, raw: Any, shape: Shape, info: SampleInfo | None) -> tuple[Array, bool]:
    """The batch to feed the input `name` with, and whether `raw` was a single sample.

    `shape` is that of one sample as the net takes it; `info` says what the source did to its samples. Where that gives
    images of any size one size, `raw` may be a list of images that differ in size. Raises ShapeError, UsageError.
    """
    stored = raw_shape(shape, info)
    if info is not None and isinstance(raw, (list, tuple)) and 0 in stored and len({np.shape(x) for x in raw}) > 1:
        return _each([as_array(name, image) for image in raw], shape, info), False
    samples = as_array(name, raw)
    single = fits(samples.shape, stored)
    if not single and not (samples.ndim and fits(samples.shape[1:], stored)):
        wanted = f"one sample of {shape_words(stored)} or a batch of them"
        raise ShapeError(f"predict takes {wanted}, not {shape_text(samples.shape)}")
    batch = samples[np.newaxis] if single else samples
    if info is None:
        return batch, single
    made, stream = np.empty((len(batch), *shape), np.float32), np.zeros(len(batch), np.int64)
    of_info(info, batch.dtype).apply([batch], stream, stream, [made])
    return made, single


def raw_shape(shape: Shape, info: SampleInfo | None) -> Shape:
    """A sample's shape as its source has it, where the net takes `shape`; 0 is a height or width that may be any."""
    return tuple(info.raw_shape) if info is not None and info.raw_shape is not None else shape


def _each(images: Sequence[Array], shape: Shape, info: SampleInfo) -> Array:
    """The batch made of images that differ in size."""
    made, stream = np.empty((len(images), *shape), np.float32), np.arange(len(images))
    try:
        of_info(info, np.result_type(*images)).apply_each([[image] for image in images], stream, stream, [made])
    except DataError as error:
        raise ShapeError(str(error)) from None
    return made


def fits(shape: Shape, wanted: Shape) -> bool:
    """Whether a sample of this shape is what is wanted, where 0 stands for any length."""
    return len(shape) == len(wanted) and all(want in (0, have) for want, have in zip(wanted, shape, strict=True))


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
