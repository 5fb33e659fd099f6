"""HDF5Data: batches of samples from HDF5 files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from layerkit.blob import Array, Shape
from layerkit.datasets import hdf5
from layerkit.errors import DataError, ShapeError
from layerkit.layer import Bottoms, LayerParams, Plan, SampleInfo, Tops
from layerkit.layers.data.batches import BatchedSource, opened
from layerkit.registry import register


@register
class HDF5Data(BatchedSource):
    """Samples from HDF5 files, batch by batch; each top is the dataset of its name.

    Values are as stored. The files must hold all these datasets, with equally many samples along axis 0 within a file
    and samples of one shape in all files. They are read one after the other, and one at a time lies in memory. With
    `shuffle` each epoch takes the files in another order, and the samples of each file. Batches and their ends are as
    in Data. Needs h5py: pip install 'layerkit[data]'.

    Bottoms: none. Tops: (N, *sample shape of the dataset) each; a label may be (N,) or, as often in such files, (N, 1).
    Raises DataError, naming the file, for one that is missing, broken or unfit, and for values that are not finite.

    Example: {name: data, type: HDF5Data, top: [data, label], source: train.txt, batch_size: 64, shuffle: true}

    Source: Caffe's HDF5Data (hdf5_data_layer.cpp).
    """

    class Params(LayerParams):
        source: str = Field(description="Text file with the path of one HDF5 file a line, from the current directory.")
        batch_size: int = Field(gt=0, description="Samples a batch, N.")
        shuffle: bool = Field(False, description="Whether each epoch has an order of its own.")
        arrays: list[str] = Field([], description="Datasets for the tops, where these have other names.")

    _files: hdf5.Files | None = None
    _planned: tuple[Sequence[Shape], int] | None = None

    def plan(self, *bottoms: Shape) -> Plan:
        files = self._describe()
        self._planned = files.shapes, int(files.starts[-1])
        return self.plan_batches(*self._planned)

    def samples(self) -> SampleInfo:
        return SampleInfo(shape=list(self._describe().shapes[0]))

    def open(self) -> None:
        files = self._describe()
        if self._planned not in (None, (files.shapes, int(files.starts[-1]))):
            raise DataError(f"the samples of {self.name!r} have changed since the net was planned; build the net again")
        self._files = files

    def close(self) -> None:
        super().close()
        self._files = None

    def length(self) -> int:
        return int(opened(self, self._files).starts[-1])

    def order(self, epoch: int) -> Array:
        if not self.shuffles():
            return super().order(epoch)
        rng, starts = self.generator(epoch), opened(self, self._files).starts
        parts = [starts[file] + rng.permutation(starts[file + 1] - starts[file]) for file in range(len(starts) - 1)]
        return np.concatenate([parts[file] for file in rng.permutation(len(parts))])

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        files, indices = opened(self, self._files), self.next_indices()
        for blob, shape in zip(top, files.shapes, strict=True):
            blob.reshape(len(indices), *shape)
        for row, index in enumerate(indices):
            for blob, value in zip(top, files.sample(index), strict=True):
                blob.data[row] = value
        self.advance(indices)

    def _describe(self) -> hdf5.Files:
        names = self.params.arrays or self.top_names
        if len(names) != self.num_tops:
            raise ShapeError(f"there are {self.num_tops} tops, but arrays names {len(names)}", "arrays")
        return hdf5.Files(self.params.source, names)
