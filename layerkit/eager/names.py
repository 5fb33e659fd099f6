"""The names of a tape's layers and blobs: those that calls are given, and numbers for the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from itertools import count

from layerkit.errors import UsageError
from layerkit.spec.layer import blob_name_fault


class Names:
    """Which names there are. Layers are numbered by kind in each run; what a call names keeps its name for good."""

    def __init__(self) -> None:
        self._ever: set[str] = set()
        self._kept: set[str] = set()  # names that no call without a name gets
        self.begin()

    def begin(self) -> None:
        """Begin a run: nothing has a name yet."""
        self._counts: Counter[str] = Counter()
        self._layers: set[str] = set()
        self._blobs: set[str] = set()

    def layer(self, name: str | None, stem: str) -> str:
        """The name of a layer: what it is to have, with a number from the second call on; else the next of its stem."""
        if name:
            self._kept.add(name)
        chosen = _free(name, self._layers) if name else self._next(stem)
        self._layers.add(chosen)
        self._ever.add(chosen)
        return chosen

    def input(self, name: str | None) -> str:
        """The name of an input. Raises UsageError for what cannot be one."""
        wrong = None if name is None else blob_name_fault(name)
        if wrong:
            raise UsageError(f"the name of an input {wrong}")
        chosen = self.layer(_free(name, self._blobs) if name else None, "input")
        self._blobs.add(chosen)
        return chosen

    def tops(self, layer: str, top: int | str | Sequence[str]) -> list[str]:
        """The names of a layer's tops: those given, else the layer's, with numbers where there are several."""
        if isinstance(top, int):
            top = [layer] if top == 1 else [f"{layer}_top{i}" for i in range(top)]
        names: list[str] = []
        for each in [top] if isinstance(top, str) else top:
            names.append(_free(each, self._blobs))
            self._blobs.add(names[-1])
        return names

    def new(self, stem: str, taken: Collection[str]) -> str:
        """A name that nothing has had in any run, and that is none of those taken, to keep."""
        name = next(name for i in count(1) if (name := f"{stem}{i}") not in {*self._ever, *self._kept, *taken})
        self._kept.add(name)
        return name

    def _next(self, stem: str) -> str:
        while True:
            self._counts[stem] += 1
            name = f"{stem}{self._counts[stem]}"
            if name not in self._layers | self._blobs | self._kept:
                return name


def _free(name: str, taken: Collection[str]) -> str:
    """The name itself where it is free, else with a number."""
    return name if name not in taken else next(each for i in count(2) if (each := f"{name}_{i}") not in taken)
