"""Weights of a net from and to Caffe's files."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

from layerkit import arrayfile
from layerkit.convert import caffemodel
from layerkit.convert import weights as matching
from layerkit.convert.caffemodel import SavedLayer
from layerkit.convert.report import Report
from layerkit.datasets.optional import need
from layerkit.errors import ConfigError, SnapshotError
from layerkit.pycaffe.views import Views


def copy_weights(net: Views, path: str | os.PathLike[str]) -> None:
    """Copy a file's weights into the layers of the same name: a .caffemodel, .caffemodel.h5, or one of layerkit's.

    Layers that the file does not have keep what they have, and others in the file are passed over. Raises
    SnapshotError for a file that cannot be read, or whose weights do not fit, and nothing is changed then.
    """
    if Path(path).suffix in (".safetensors", ".npz"):
        net.inner.load_weights(path, strict=False)
        return
    report = Report()
    ours = dict(zip(net._layer_names, net._nodes, strict=True))
    arrays = matching.of_net(net.inner.graph, caffemodel.read(path), ours, report)
    if report.problems.found:
        raise SnapshotError(f"{os.fspath(path)!r} does not fit the net: {ConfigError(report.problems.found)}")
    net.inner.flat.load(arrays, os.fspath(path), strict=False)


def saved_layers(net: Views) -> Iterator[SavedLayer]:
    """The net's layers with their weights, as a caffemodel holds them."""
    for node, name in zip(net.inner.graph.nodes, net._layer_names, strict=True):
        kind = net._words.type(node.name, node.spec.type)
        blobs = tuple(blob.values for blob in net.inner.params[node.name])
        yield SavedLayer(name, kind, tuple(net.bottom_names[name]), tuple(net.top_names[name]), blobs)


def save_hdf5(net: Views, path: str | os.PathLike[str], write_diff: bool = False) -> None:
    """Write the weights, and with `write_diff` their diffs, as Caffe's HDF5 file. Raises DataError without h5py."""
    h5py = need("h5py", "h5py", "HDF5")

    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        for name, blobs in net.params.items():
            for i, blob in enumerate(blobs):
                file[f"data/{name}/{i}"] = blob.data
                if write_diff:
                    file[f"diff/{name}/{i}"] = blob.diff
    arrayfile.write_bytes(path, content.getvalue())
