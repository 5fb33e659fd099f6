"""HDF5Data: batches of samples from HDF5 files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import Field

from layerkit.blob import Shape
from layerkit.datasets import Header, Source
from layerkit.datasets.batches import BatchMaker
from layerkit.datasets.files import hdf5
from layerkit.datasets.files.lists import read_files
from layerkit.datasets.transforms import Finish, Pipeline, layout_of
from layerkit.errors import DataError, ShapeError
from layerkit.layer import Plan
from layerkit.layers.data.ahead import LoadingParams, opened
from layerkit.layers.data.batches import BatchedSource
from layerkit.registry import register
from layerkit.samples import SampleInfo
from layerkit.words import counted


@register
class HDF5Data(BatchedSource):
    """Samples from HDF5 files, batch by batch; each top is the dataset of its name.

    Values are as stored. The files must hold all these datasets, with equally many samples along axis 0 within a file
    and samples of one shape in all files. They are read one after the other, and one at a time lies in memory, unless
    it is larger than 512 MB. With `shuffle` each epoch takes the files in another order, and the samples of each file.
    Batches and their ends are as in Data. Needs h5py: pip install 'layerkit[data]'.

    Bottoms: none. Tops: (N, *sample shape of the dataset) each; a label may be (N,) or, as often in such files, (N, 1).
    Raises DataError, naming the file, for one that is missing, broken or unfit, and for values that are not finite.

    Example: {name: data, type: HDF5Data, top: [data, label], source: train.txt, batch_size: 64, shuffle: true}

    Source: Caffe's HDF5Data (hdf5_data_layer.cpp).
    """

    class Params(LoadingParams):
        source: str = Field(description="Text file with the path of one HDF5 file a line, from the current directory.")
        batch_size: int = Field(gt=0, description="Samples a batch, N.")
        shuffle: bool = Field(False, description="Whether each epoch has an order of its own.")
        arrays: list[str] = Field([], description="Datasets for the tops, where these have other names.")

    _planned: Header | None = None

    def plan(self, *bottoms: Shape) -> Plan:
        header = self._planned = self._describe()
        return self.plan_batches(list(header.shapes.values()), header.length)

    def samples(self) -> SampleInfo:
        header = self._describe()
        return SampleInfo(shape=list(next(iter(header.shapes.values()))), class_names=list(header.class_names))

    def class_names(self) -> Sequence[str]:
        return () if self._planned is None else self._planned.class_names

    def maker(self) -> BatchMaker:
        return BatchMaker(
            _Opener(self.params.source, self._names()),
            self._names(),
            Pipeline(layout_of(self._describe(), self._names()), (), Finish()),
            self.params.batch_size,
            self.generator,
            shuffle=self.shuffles(),
            last_batch=self.last_batch(),
        )

    def open(self) -> None:
        super().open()
        if self._planned not in (None, opened(self, self._maker).source.header):
            self.close()
            raise DataError(f"the samples of {self.name!r} have changed since the net was planned; build the net again")

    def _describe(self) -> Header:
        return _Opener(self.params.source, self._names()).open().header

    def _names(self) -> list[str]:
        names = list(self.params.arrays or self.top_names)
        if len(names) != self.num_tops:
            raise ShapeError(f"it has {counted(self.num_tops, 'top')}, but arrays names {len(names)}", "arrays")
        return names


class _Opener(NamedTuple):
    source: str
    names: list[str]

    def open(self) -> Source:
        return hdf5.Files(read_files(self.source), {name: name for name in self.names})
