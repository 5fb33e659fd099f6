"""Prototxt files as nets, and what the file calls layers and blobs that have other names in layerkit."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from layerkit import graph
from layerkit.convert import net as nets
from layerkit.convert import old, prototxt
from layerkit.convert.report import Report
from layerkit.convert.schema import Fields, read
from layerkit.errors import ConfigError, Problem, Problems
from layerkit.graph import Graph
from layerkit.pycaffe.modes import phase_name
from layerkit.spec import NetSpec
from layerkit.spec.layer import describe


@dataclass
class Words:
    """What the file calls things, by what they are called here; who is not in it has one name."""

    layers: dict[str, str] = field(default_factory=dict)
    blobs: dict[str, str] = field(default_factory=dict)
    types: dict[tuple[str, str], str] = field(default_factory=dict)
    """By the layer's name and type here."""

    def layer(self, name: str) -> str:
        """The file's name of a layer."""
        return self.layers.get(name, name)

    def blob(self, name: str) -> str:
        """The file's name of a blob."""
        return self.blobs.get(name, name)

    def type(self, name: str, kind: str) -> str:
        """The file's word for the type of a layer."""
        return self.types.get((name, kind), kind)


@dataclass
class Reading:
    """A net that was read, to be built in one phase or another."""

    spec: NetSpec
    words: Words
    problems: list[Problem]
    """What could not be converted."""

    def build(self, phase: int, level: int = 0, stages: Collection[str] = ()) -> Graph:
        """The graph in one of Caffe's phases. Raises ConfigError for what is wrong with the layers of this phase."""
        try:
            built = graph.build(self.spec, phase_name(phase), level, stages, allow_python=True)
        except ConfigError as error:
            raise ConfigError([*self.problems, *error.problems]) from None
        here = {
            describe(self.words.layer(node.name), self.words.type(node.name, node.spec.type)) for node in built.nodes
        }
        found = [problem for problem in self.problems if not problem.where or problem.where in here]
        if found:
            raise ConfigError(found)
        return built


def load(path: str | os.PathLike[str]) -> Reading:
    """The net that a prototxt file holds. Raises ConfigError for a file that is none."""
    problems = Problems()
    fields = read(prototxt.load(path).message, "NetParameter", problems)
    problems.check()
    return of_fields(fields)


def of_fields(fields: Fields) -> Reading:
    """The net of a NetParameter."""
    report = Report()
    converted = nets.convert_fields(fields, report)
    words = _words(old.layers(fields, Problems()), converted)
    for layer in converted.layers:
        if layer.get("type") == "Data" and "last_batch" not in layer:
            layer["last_batch"] = "wrap"  # as in Caffe, where every batch is full
    spec = NetSpec(name=converted.name, force_backward=converted.force_backward, layers=converted.layers)
    return Reading(spec, words, report.problems.found)


def _words(written: Iterable[Fields], converted: nets.Net) -> Words:
    words = Words()
    for before, after in zip(written, converted.layers, strict=True):
        name = str(after.get("name", ""))
        words.layers[name] = str(before.get("name", ""))
        words.types[name, str(after.get("type", ""))] = str(before.get("type", ""))
        for key in ("bottom", "top"):
            words.blobs.update(zip(after.get(key, ()), before.get(key, ()), strict=True))
    return words
