"""The samples that a user names on the command line: by a path, by a known set's name, or by a run that reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from layerkit import graph
from layerkit.datasets import Dataset, Selection, Source, dataset_names, select
from layerkit.datasets.batches import Opener
from layerkit.datasets.kinds import KINDS, kind_of
from layerkit.datasets.public.archives import expect_none
from layerkit.errors import DataError, Problems, UnknownNameError
from layerkit.layers.data.batches import BatchedSource
from layerkit.spec import load_run
from layerkit.spec.overrides import override
from layerkit.spec.sentences import Source as Written
from layerkit.spec.sentences import validate
from layerkit.text import Map

WHOLE = "all"
"""How the only part is called of a dataset that is not divided."""


@dataclass(frozen=True)
class Found:
    """Samples by their parts."""

    name: str
    """As the user named them."""
    kind: str
    """The name of the kind of dataset, or of the layer that reads them where they are no dataset."""
    about: str
    """What they are, in a sentence."""
    parts: Mapping[str, Opener]
    own_parts: tuple[str, ...]
    """Those that are not another one by another name."""
    layers: Mapping[str, BatchedSource] = field(default_factory=dict)
    """The layer that reads each part, where the samples are those of a run."""
    source: str | None = None
    """The path, where they lie at one."""

    def choose(self, part: str | None, default: str = "train") -> str:
        """The part that is meant: the one that is asked for, `default`, or the only one. Raises DataError."""
        if part is None and len(self.parts) == 1:
            return next(iter(self.parts))
        if (part or default) not in self.parts:
            raise UnknownNameError("part", part or default, self.parts)
        return part or default

    def channel_order(self, part: str) -> str | None:
        """In which order a net gets three channels of a part; None where no layer says it."""
        return self.layers[part].samples().channel_order if part in self.layers else None

    def data(self, part: str, source: Source) -> str:
        """The name of the array that goes into a net: the first that the layer takes, or the first there is."""
        return self.layers[part].maker().arrays[0] if part in self.layers else next(iter(source.header.shapes))

    def words(self, part: str) -> str:
        """How a part is called in a sentence."""
        return self.name if part == WHOLE else f"{self.name}, part {part!r}"

    def open(self, part: str) -> Source:
        """The samples of a part. Raises DataError."""
        return self.parts[part].open()


def find(name: str, kind: str | None = None, assignments: Iterable[str] = ()) -> Found:
    """What `name` stands for: a known set, a path, or a YAML file with a layer that reads samples.

    A path's kind is told by its name unless `kind` says it; with `kind`, a name may be that of a file of any sort.
    `assignments` are fields of the kind, `label=species`, or overrides of the YAML file. Raises DataError, ConfigError,
    UnknownNameError.
    """
    if kind is None and Path(name).suffix.lower() in (".yaml", ".yml"):
        return _of_run(name, assignments)
    if kind is None and name in dataset_names():
        return _of_dataset(name, name, None, assignments)
    if kind is not None and kind not in KINDS:
        raise UnknownNameError("kind of dataset", kind, KINDS)
    known = kind_of(name) if kind is None else KINDS[kind]
    if known is None:
        raise _unknown(name)
    if kind is not None or Path(name).exists():
        return _of_dataset(name, known.model_fields["type"].default, name, assignments)
    raise DataError(f"there is no file or folder {name!r}")


def kinds() -> list[tuple[str, str]]:
    """Every kind of dataset with what it is."""
    return [(name, _about(kind)) for name, kind in sorted(KINDS.items())]


def _about(kind: type[Dataset]) -> str:
    return (kind.__doc__ or "").splitlines()[0]


def _unknown(name: str) -> Exception:
    if not Path(name).exists():
        return UnknownNameError("file, folder or known set", name, [each for each, kind in KINDS.items() if kind.parts])
    expect_none(name)
    kinds = ", ".join(each for each, kind in KINDS.items() if not kind.parts)
    return DataError(f"{name!r} does not tell by its name of which kind it is; say it by --kind, one of: {kinds}")


def _of_dataset(name: str, kind: str, source: str | None, assignments: Iterable[str]) -> Found:
    written = Map()
    for assignment in assignments:
        override(written, assignment)
    if kind not in KINDS:  # a program registered it
        parts = {part: select(kind, None, part) for part in Dataset.parts}
        return Found(name, kind, "Arrays in memory.", parts, tuple(parts))
    problems = Problems()
    dataset = validate(KINDS[kind], written, Written(written, f"dataset {kind!r}"), problems)
    problems.check()
    assert dataset is not None
    parts = {part: select(dataset, source, part) for part in dataset.parts_at(source) or (WHOLE,)}
    return Found(name, kind, _about(KINDS[kind]), parts, dataset.own_parts(source) or (WHOLE,), source=source)


def _of_run(path: str, assignments: Iterable[str]) -> Found:
    assignments = list(assignments)
    phases = [phase for phase in graph.phases_of(load_run(path, assignments)) if phase != "predict"]
    nodes = {}
    for phase, built in graph.load(path, phases, assignments).graphs.items():
        readers = [node for node in built.nodes if isinstance(node.layer, BatchedSource)]
        if phase in phases and readers:
            nodes[phase] = readers[0]
    if not nodes:
        raise DataError(f"{path!r} has no layer that reads samples from a dataset or files")
    first = next(iter(nodes.values()))
    layers = {phase: cast(BatchedSource, node.layer) for phase, node in nodes.items()}
    openers = {phase: layer.maker().opener for phase, layer in layers.items()}
    opener = next(iter(openers.values()))
    kind = opener.dataset.type if isinstance(opener, Selection) else first.spec.type
    return Found(path, kind, f"What layer {first.name!r} ({first.spec.type}) reads.", openers, tuple(openers), layers)
