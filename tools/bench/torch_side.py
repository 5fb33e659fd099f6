"""PyTorch as a side, in the modes that someone who wants speed on a CPU would try."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F  # noqa: N812 (its usual name)

from bench import job
from bench.torch_model import Builder

STATISTICS = {"mean": "running_mean", "variance": "running_var"}
"""Caffe's names of BatchNorm's statistics and torch's; Caffe divides both by a third, `scale_factor`."""


class TorchSide:
    """A model that trains and predicts."""

    def __init__(
        self,
        folder: Path,
        threads: int,
        compiled: bool = False,
        fused: bool = False,
        channels_last: bool = False,
        dtype: str = "float32",
    ):
        torch.set_num_threads(threads)
        layers = job.read(folder)["layers"]
        self.model, self.weights = Builder(layers).build()
        self.model.to(getattr(torch, dtype))
        with job.start(folder) as arrays, torch.no_grad():
            for key, (module, name) in self.weights.items():
                getattr(module, name).copy_(torch.from_numpy(arrays[key]))
            for layer in layers:
                if layer["type"] == "BatchNorm":
                    self._load_statistics(layer["name"], arrays)
            self.data = torch.from_numpy(arrays["data"]).to(getattr(torch, dtype))
            self.label = torch.from_numpy(arrays["label"]).long()
        if channels_last:
            self.model.to(memory_format=torch.channels_last)
            if self.data.ndim == 4:
                self.data = self.data.contiguous(memory_format=torch.channels_last)
        self._compile: Callable[[Any], Any] = torch.compile if compiled else lambda function: function
        self.loss_of = self._compile(lambda data, label: F.cross_entropy(self.model(data), label))
        self.optimizer = torch.optim.SGD(
            self.model.parameters(),
            lr=job.LR,
            momentum=job.MOMENTUM,
            weight_decay=job.WEIGHT_DECAY,
            fused=fused or None,
        )
        self.last: Any = None

    def _load_statistics(self, layer: str, arrays: Any) -> None:
        norm = self.model.get_submodule(layer.replace("/", "_"))
        for ours, theirs in STATISTICS.items():
            getattr(norm, theirs).copy_(torch.from_numpy(arrays[f"{layer}.{ours}"] / arrays[f"{layer}.scale_factor"]))

    def enter(self, training: bool) -> None:
        """Before a turn: batch normalization acts by the model's mode."""
        self.model.train(training)

    def train(self) -> Callable[[], None]:
        """A function that makes one training step."""

        def step() -> None:
            self.optimizer.zero_grad()
            self.last = self.loss_of(self.data, self.label)
            self.last.backward()
            self.optimizer.step()

        return step

    def predict(self, batch: int) -> Callable[[], Any]:
        """A function that runs the model on `batch` samples, as for use, and returns the probabilities."""
        data = self.data[:batch].clone(memory_format=torch.preserve_format)
        probabilities = self._compile(lambda data: F.softmax(self.model(data), dim=1))

        def forward() -> Any:
            with torch.inference_mode():
                return probabilities(data)

        return forward

    def gradients(self) -> tuple[float, dict[str, job.Array]]:
        """Loss and weight gradients at the present weights."""
        self.optimizer.zero_grad()
        loss = self.loss_of(self.data, self.label)
        loss.backward()
        return loss.item(), {key: getattr(module, name).grad.numpy() for key, (module, name) in self.weights.items()}

    def loss(self) -> float:
        """The loss of the last training step."""
        return float(self.last.item())

    def product(self, size: int) -> Callable[[], Any]:
        """A function that multiplies two square matrices."""
        a, b = torch.randn(size, size), torch.randn(size, size)
        return lambda: torch.mm(a, b)
