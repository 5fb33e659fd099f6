"""What the sides have in common: one net, its first weights, one batch. It lies in a folder that every worker reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

LR = 0.0001
MOMENTUM = 0.9
WEIGHT_DECAY = 0.0005
SEED = 1
"""Of weights and batch."""

Array = npt.NDArray[Any]


def write(folder: Path, name: str) -> None:
    """Put a net's job into a folder: the net as plain layers, its weights, and a batch of normal noise.

    The statistics of BatchNorm are those of the batch, so that predicting has sensible ones.
    """
    import layerkit as lk  # here, so that a torch worker, which reads jobs, needs no layerkit
    from bench import nets

    graph = nets.train_graph(name)
    described = {
        "name": name,
        "yaml": str(nets.path(name)),
        "batch": nets.batch(graph),
        "layers": plain_layers(graph.nodes),
    }
    (folder / "job.json").write_text(json.dumps(described), encoding="utf-8")
    net = lk.Net.from_graph(graph, seed=SEED)
    random = np.random.default_rng(SEED)
    classes = next(node for node in reversed(graph.nodes) if "num_output" in node.spec.params.model_fields_set)
    data = random.standard_normal(net.blobs["data"].shape, np.float32)
    label = random.integers(classes.spec.params.num_output, size=net.blobs["label"].shape)
    net.forward(data=data, label=label)
    np.savez(folder / "start.npz", data=data, label=label, **net.flat.arrays())


def plain_layers(nodes: Any) -> list[dict[str, Any]]:
    """Layers in the order in which they run, as JSON can hold them; a blob is written `name@version`."""
    return [
        {
            "name": node.name,
            "type": node.spec.type,
            "params": node.spec.params.model_dump(mode="json"),
            "bottoms": [f"{ref.name}@{ref.version}" for ref in node.bottoms],
            "tops": [f"{ref.name}@{ref.version}" for ref in node.tops],
            "top_shapes": [list(shape) for shape in node.plan.tops],
            "weights": {weight.name: list(weight.shape) for weight in node.plan.weights},
        }
        for node in nodes
    ]


def read(folder: Path) -> dict[str, Any]:
    """The job in a folder, without its arrays."""
    return dict(json.loads((folder / "job.json").read_text(encoding="utf-8")))


@contextmanager
def start(folder: Path) -> Iterator[np.lib.npyio.NpzFile]:
    """The weights as `layer.weight`, and the batch as `data` and `label`; each is read when it is asked for."""
    with np.load(folder / "start.npz", allow_pickle=False) as arrays:
        yield arrays
