"""Names of layers and blobs that layerkit's files cannot have, made into such as they can."""

from __future__ import annotations

import re
from collections.abc import Iterable

from layerkit.convert.report import Report
from layerkit.errors import Mark
from layerkit.spec.layer import RESERVED, blob_name_fault
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

    def another(self, name: str, mark: Mark | None) -> str:
        """A name for one more layer called `name`."""
        new = self._free(name)
        self._report.notes.add(f"another layer has the name {name!r} already; this one becomes {new!r}", mark=mark)
        return new

    def _clean(self, name: str) -> str:
        if not name or blob_name_fault(name) is None:
            return name
        base = "/".join(filter(None, _STRAY.sub("_", name).split("/")))[:900] or "unnamed"
        return self._free(base + "_" if base in RESERVED else base)

    def _free(self, base: str) -> str:
        """A name that nothing has yet: the given one, or with a number behind."""
        found, count = base, 2
        while found in self._taken:
            found, count = f"{base}_{count}", count + 1
        self._taken.add(found)
        return found


def clean(layers: list[Map], report: Report) -> dict[str, str]:
    """Give every layer and blob a name that it can have, in place; returns the new names of layers that got one.

    Caffe lets several layers have one name; here all but the first get another. Weights that are saved under it are the
    first one's, as in Caffe.
    """
    taken = {
        name for layer in layers for name in (layer.get("name", ""), *layer.get("bottom", ()), *layer.get("top", ()))
    }
    names = Names(taken, report)
    renamed = {}
    for i, layer in enumerate(layers):
        old, mark = layer.get("name", ""), layer.key_marks.get("name")
        layer_new = names.new(old, mark)
        if old and any(each.get("name") == layer_new and _can_meet(each, layer) for each in layers[:i]):
            layer["name"] = names.another(layer_new, mark)
        elif layer_new != old:
            layer["name"] = renamed[old] = layer_new
        for key in ("bottom", "top"):
            for i, name in enumerate(layer.get(key, ())):
                layer[key][i] = names.new(name, layer[key].marks[i] if i < len(layer[key].marks) else layer.mark)
    return renamed


def _can_meet(first: Map, second: Map) -> bool:
    """Whether one net can have both layers; those of different phases or with other rules are not looked into."""
    return not any(rule in layer for rule in ("include", "exclude") for layer in (first, second))
