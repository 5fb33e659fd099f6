"""What `net.predict` does around the forward pass: from raw samples to a batch, from outputs to answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from layerkit.blob import Array, Shape, shape_text
from layerkit.datasets import transform
from layerkit.errors import ShapeError
from layerkit.layer import SampleInfo


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
