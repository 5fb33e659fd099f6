"""Every kind of dataset that YAML can name, and how the kind of a path is told."""

from __future__ import annotations

import functools
import operator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Discriminator, Tag

from layerkit.datasets.bundled.digit_pairs import DigitPairs
from layerkit.datasets.bundled.digits import Digits
from layerkit.datasets.bundled.parity import Parity
from layerkit.datasets.bundled.shakespeare import Shakespeare
from layerkit.datasets.bundled.shapes import Shapes
from layerkit.datasets.dataset import Dataset
from layerkit.datasets.files.cifar_binary import CifarBinary
from layerkit.datasets.files.hdf5_set import Hdf5
from layerkit.datasets.files.idx_files import Idx
from layerkit.datasets.files.image_folder import ImageFolder
from layerkit.datasets.files.image_list import ImageList
from layerkit.datasets.files.lmdb import Lmdb
from layerkit.datasets.files.npy import Npy
from layerkit.datasets.files.npz import Npz
from layerkit.datasets.files.tables.csv_files import Csv
from layerkit.datasets.files.text_windows import Text
from layerkit.datasets.public.sets import Cifar10, Cifar100, FashionMnist, Mnist
from layerkit.datasets.registered import Registered
from layerkit.datasets.synthetic.circles import Circles
from layerkit.datasets.synthetic.copy_task import CopyTask
from layerkit.datasets.synthetic.gaussians import Gaussians
from layerkit.datasets.synthetic.moons import Moons
from layerkit.datasets.synthetic.regression import Regression
from layerkit.datasets.synthetic.spirals import Spirals
from layerkit.datasets.synthetic.xor import Xor

KINDS: dict[str, type[Dataset]] = {
    kind.model_fields["type"].default: kind
    for kind in (
        *(Cifar10, Cifar100, DigitPairs, Digits, FashionMnist, Mnist, Parity, Shakespeare, Shapes),
        *(Circles, CopyTask, Gaussians, Moons, Regression, Spirals, Xor),
        *(CifarBinary, Csv, Hdf5, Idx, ImageFolder, ImageList, Lmdb, Npy, Npz, Text),
    )
}
"""Name -> kind: known sets and formats of files. Any other name is that of a registered set."""


def kind_of(path: str) -> type[Dataset] | None:
    """The kind of a file or folder, by its name and by what it holds; None where no kind knows it."""
    return next((kind for kind in KINDS.values() if kind.knows(Path(path))), None)


def _tag(value: Any) -> str:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return kind if kind in KINDS else "registered"


if TYPE_CHECKING:
    AnyDataset = Dataset
else:
    _tagged = [Annotated[kind, Tag(name)] for name, kind in {**KINDS, "registered": Registered}.items()]
    AnyDataset = Annotated[functools.reduce(operator.or_, _tagged), Discriminator(_tag)]
