"""MemoryData: batches of arrays that a program gives."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from layerkit.blob import Shape, shape_text
from layerkit.datasets import ArraySource, Source
from layerkit.datasets.batches import BatchMaker
from layerkit.datasets.transforms import Finish, Pipeline, layout_of
from layerkit.errors import DataError
from layerkit.layer import LayerParams, Plan
from layerkit.layers.data.batches import BatchedSource
from layerkit.registry import register
from layerkit.samples import SampleInfo


@register
class MemoryData(BatchedSource):
    """Samples of arrays that a program sets, batch by batch.

    They are read in order and over again, and are not copied. `net.layers["data"].set_arrays(data, label)` sets them:
    data (n, channels, height, width) in whatever units, label (n,) or (n, 1, 1, 1). As with Data, a pass ends with a
    smaller batch in the test phase; n may be any number.

    Bottoms: none. Tops: data (N, C, H, W) and label (N,), as set; the second may be left out.
    Raises DataError where no arrays are set, or where they do not fit, are not numeric or hold values that are not
    finite.

    Example: {name: data, type: MemoryData, top: [data, label], batch_size: 32, channels: 3, height: 24, width: 24}

    Source: Caffe's MemoryData (memory_data_layer.cpp); `set_arrays` is its Reset and pycaffe's set_input_arrays.
    """

    class Params(LayerParams):
        batch_size: int = Field(gt=0, description="Samples a batch, N.")
        channels: int = Field(gt=0, description="Channels of a sample, C.")
        height: int = Field(gt=0, description="Height of a sample, H.")
        width: int = Field(gt=0, description="Width of a sample, W.")

    tops = (1, 2)
    uses_files = False

    _given: ArraySource | None = None

    def plan(self, *bottoms: Shape) -> Plan:
        return self.plan_batches([self._shape, ()][: self.num_tops], None)

    def set_arrays(self, data: npt.ArrayLike, label: npt.ArrayLike | None = None) -> None:
        """Read these samples from now on, the first one next. Without labels these are 0. Raises DataError."""
        data = np.asarray(data)
        if data.shape[1:] != self._shape:
            raise DataError(f"data must be n x {shape_text(self._shape)}, not {shape_text(data.shape)}")
        labels = np.zeros(len(data)) if label is None else np.asarray(label)
        if labels.size != len(data):
            raise DataError(f"there must be one label a sample: {len(data)}, not {labels.size}")
        arrays = {"data": data, "label": labels.reshape(len(data))}
        self._given = ArraySource(f"what {self.name!r} is given", arrays)  # raises where they are unfit
        self.open()
        self.rewind()

    def shuffles(self) -> bool:
        return False

    def samples(self) -> SampleInfo:
        return SampleInfo(shape=list(self._shape))

    def missing(self) -> str | None:
        return None if self._given else f"its samples are given in Python, by net.layers[{self.name!r}].set_arrays"

    def maker(self) -> BatchMaker:
        if self._given is None:
            raise DataError(f"it has no samples yet; call net.layers[{self.name!r}].set_arrays(data, label) first")
        names = ["data", "label"][: self.num_tops]
        return BatchMaker(
            _Opener(self._given),
            names,
            Pipeline(layout_of(self._given.header, names), (), Finish()),
            self.params.batch_size,
            self.generator,
            last_batch=self.last_batch(),
        )

    @property
    def _shape(self) -> Shape:
        return self.params.channels, self.params.height, self.params.width


class _Opener(NamedTuple):
    source: Source

    def open(self) -> Source:
        return self.source
