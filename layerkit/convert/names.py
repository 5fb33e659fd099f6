"""Names of layers and blobs that layerkit's files cannot have, made into such as they can."""

from __future__ import annotations

import re
from collections.abc import Iterable

from layerkit.convert.report import Report
from layerkit.errors import Mark
from layerkit.spec.layer import RESERVED, name_fault
from layerkit.text import Map

_STRAY = re.compile(r"[.\x00-\x1f\x7f-\x9f\u2028\u2029]")


class Names:
    """The new name of each old one: the same wherever it can stay, and never that of another."""

    def __init__(self, taken: Iterable[str], report: Report):
        self._taken = set(taken)
        self._new: dict[str, str] = {}
        self._report = report

    def new(self, name: str, mark: Mark | None) -> str:
        """The name to use for `name`; the first time that it is another one this is noted."""
        if name not in self._new:
            self._new[name] = self._clean(name)
            if self._new[name] != name:
                self._report.notes.add(f"{name!r} cannot be a name here and becomes {self._new[name]!r}", mark=mark)
        return self._new[name]

    def _clean(self, name: str) -> str:
        if name not in RESERVED and (not name or name_fault(name) is None):
            return name
        base = "/".join(filter(None, _STRAY.sub("_", name).split("/")))[:900] or "unnamed"
        base += "_" if base in RESERVED else ""
        found, count = base, 2
        while found in self._taken:
            found, count = f"{base}_{count}", count + 1
        self._taken.add(found)
        return found


def clean(layers: list[Map], report: Report) -> dict[str, str]:
    """Give every layer and blob a name that it can have, in place; returns the new names of layers that got one."""
    taken = {
        name for layer in layers for name in (layer.get("name", ""), *layer.get("bottom", ()), *layer.get("top", ()))
    }
    names = Names(taken, report)
    renamed = {}
    for layer in layers:
        old = layer.get("name", "")
        layer_new = names.new(old, layer.key_marks.get("name"))
        if layer_new != old:
            layer["name"] = renamed[old] = layer_new
        for key in ("bottom", "top"):
            for i, name in enumerate(layer.get(key, ())):
                layer[key][i] = names.new(name, layer[key].marks[i] if i < len(layer[key].marks) else layer.mark)
    return renamed
