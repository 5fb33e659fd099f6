"""layerkit as a side: an engine, planned memory, and a solver's update."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import layerkit as lk
from bench import job
from layerkit import graph as graphs
from layerkit.graph import Graph, Ref
from layerkit.spec import SolverSpec
from layerkit.threads import use


class LayerkitSide:
    """A net that trains; nets that predict, one for each batch size, are made when they are asked for."""

    def __init__(self, folder: Path, threads: int, engine: str, dtype: str = "float32"):
        use(threads, "blas")
        self.engine = engine
        self.dtype = dtype
        self.yaml = job.read(folder)["yaml"]
        self.net = self._net(self._graph("train"))
        with job.start(folder) as arrays:
            self.net.load_weights(arrays)
            self.data = arrays["data"]
            self.net.blobs["data"].data[...] = self.data
            self.net.blobs["label"].data[...] = arrays["label"]
        spec = SolverSpec(base_lr=job.LR, max_iter=1, momentum=job.MOMENTUM, weight_decay=job.WEIGHT_DECAY)
        self.updater = lk.Solver.from_net(self.net, spec).updater

    def _graph(self, phase: str) -> Graph:
        """A graph of its own, for a graph's layers belong to one net."""
        return graphs.load(self.yaml, [phase]).graphs[phase]

    def _net(self, graph: Graph, share: lk.Net | None = None) -> lk.Net:
        return lk.Net.from_graph(graph, share=share, dtype=self.dtype, engine=self.engine, keep=())

    def enter(self, training: bool) -> None:
        """Before a turn: nothing, for there is a net for either."""

    def train(self) -> Callable[[], None]:
        """A function that makes one training step."""
        net, update = self.net, self.updater.update

        def step() -> None:
            net.forward()
            net.backward()
            update(job.LR)

        return step

    def predict(self, batch: int) -> Callable[[], Any]:
        """A function that runs the predict net on `batch` samples and returns the probabilities."""
        graph = self._graph("predict").with_shapes({Ref("data"): (batch, *self.data.shape[1:])})
        net = self._net(graph, self.net)
        net.blobs["data"].data[...] = self.data[:batch]
        (output,) = net.outputs
        return lambda: net.forward()[output]

    def gradients(self) -> tuple[float, dict[str, job.Array]]:
        """Loss and weight gradients at the present weights."""
        self.net.forward()
        self.net.backward()
        return self.net.loss, {key: slot.blob.diff for key, slot in self.net.flat.slots.items() if slot.trained}

    def loss(self) -> float:
        """The loss of the last training step."""
        return self.net.loss

    def product(self, size: int) -> Callable[[], Any]:
        """A function that multiplies two square matrices."""
        layers = [
            {"name": "data", "type": "Input", "shape": [size, size]},
            {"name": "product", "type": "InnerProduct", "num_output": size, "bias_term": False,
             "weight_filler": "xavier"},
        ]  # fmt: skip
        net = lk.Net({"layers": layers}, "test", engine=self.engine, keep=())
        net.blobs["data"].data[...] = np.random.default_rng(0).standard_normal((size, size))
        return net.forward
