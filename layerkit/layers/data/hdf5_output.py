"""HDF5Output: writes two blobs to a file."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from layerkit.blob import Shape, shape_text
from layerkit.datasets.files import hdf5
from layerkit.errors import ShapeError
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Tops
from layerkit.registry import register


@register
class HDF5Output(Layer):
    """Writes its bottoms to an HDF5 file, as the datasets `data` and `label`, pass after pass.

    Each forward pass adds its rows; the file appears when the net is closed (`net.close()`; the commands do it), whole
    or not at all, and takes the place of one with that name. HDF5Data can read it. It is left out of the derived
    predict phase. Needs h5py: pip install 'layerkit[data]'.

    Bottoms: data (N, ...) and label (N, ...), where only N may change from pass to pass. Tops: none.
    There is no gradient.
    Raises ShapeError where the bottoms have different lengths, DataError where the file cannot be written.

    Example: {name: out, type: HDF5Output, bottom: [fc, label], file_name: features.h5, include: test}

    Source: Caffe's HDF5Output (hdf5_output_layer.cpp), which can write one pass only.
    """

    class Params(LayerParams):
        file_name: str = Field(min_length=1, description="Path of the file, from the current directory.")

    bottoms = (2, 2)
    tops = (0, 0)
    uses_files = True

    _writer: hdf5.Writer | None = None

    def plan(self, *bottoms: Shape) -> Plan:
        if any(not shape for shape in bottoms) or bottoms[0][0] != bottoms[1][0]:
            listed = " and ".join(map(shape_text, bottoms))
            raise ShapeError(f"the bottoms must have the same length along axis 0, but are {listed}", "bottom")
        return Plan(tops=[], gradients=[False, False], reads_bottoms=(), reads_tops=())

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        if self._writer is None:
            self._writer = hdf5.Writer(self.params.file_name)
        self._writer.append(data=bottom[0].data, label=bottom[1].data)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        """Nothing: no gradient can be asked for."""

    def close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            try:
                writer.close()
            finally:
                writer.abandon()
