"""The process of one side: a cell as a body or as the built-in layer, by one engine.

python -m bench.loops.worker SIDE FOLDER THREADS
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import layerkit as lk
from bench import worker
from bench.loops import cells
from bench.sides import Side
from layerkit.threads import use


class Worker:
    """Obeys orders; each public method is one."""

    def __init__(self, side: Side, folder: Path, threads: int):
        self._options, self._folder = side.options, folder
        self._works: dict[str, Callable[[], Any]] = {}
        use(threads, "blas")

    def open(self, row: str) -> dict[str, Any]:
        """Build a row's net, with the weights that all sides have."""
        found, body = cells.ROWS[row], self._options["body"]
        net = self._net = lk.Net(
            cells.tree(found, body),
            engine=self._options["engine"],
            dtype=self._options.get("dtype", "float32"),
        )
        own = net.params["rnn"]
        self._weights = {name: own[f"body/{inner}" if body else name] for name, inner in found.cell.weights.items()}
        arrays = cells.given(found, {name: blob.shape for name, blob in self._weights.items()})
        for name, blob in self._weights.items():
            blob.data[...] = arrays[name]
        x, cont, dy = arrays["x"], arrays["cont"], arrays["dy"]

        def forward() -> None:
            net.forward(x=x, cont=cont)

        def both() -> Any:
            forward()
            return net.backward(rnn=dy)["x"]

        self._works = {"forward": forward, "both": both}
        return {}

    def outputs(self, file: str) -> dict[str, Any]:
        """Of the first pass, save y and the gradients of x and of the weights, by the built-in layer's names."""
        dx = self._works["both"]()
        gradients = {name: blob.diff for name, blob in self._weights.items()}
        np.savez(self._folder / file, y=self._net.blobs["rnn"].data, dx=dx, **gradients)
        return {}

    def run(self, work: str, seconds: float) -> dict[str, Any]:
        """Run for so many seconds, and say how many a run took on average."""
        return worker.timed(self._works[work], seconds)


if __name__ == "__main__":
    worker.main(Worker)
