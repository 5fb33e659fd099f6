"""Prototxt files as nets, and what the file calls layers and blobs that have other names in layerkit."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, field

from layerkit import graph
from layerkit.convert import net as nets
from layerkit.convert import old, prototxt
from layerkit.convert.report import Report
from layerkit.convert.schema import Fields, read
from layerkit.convert.solver_nets import is_within
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

    net: nets.Net
    written: list[Fields]
    """Its layers as they are written."""
    words: Words
    problems: list[Problem]
    """What could not be converted."""

    def build(self, phase: int, level: int = 0, stages: Collection[str] = ()) -> Graph:
        """The graph in one of Caffe's phases, of the layers whose rules let them in; what others say does not matter.

        Raises ConfigError with all that is wrong.
        """
        name = phase_name(phase)
        present = [is_within(layer, name.upper(), level, stages) for layer in self.written]
        layers = [layer for layer, within in zip(self.net.layers, present, strict=True) if within]
        if not layers:
            raise ConfigError([Problem(f"the net has no layers in the phase {name.upper()}")])
        here = {_where(layer) for layer, within in zip(self.written, present, strict=True) if within}
        elsewhere = {_where(layer) for layer in self.written} - here
        problems = [problem for problem in self.problems if problem.where not in elsewhere]
        spec = NetSpec(name=self.net.name, force_backward=self.net.force_backward, layers=layers)
        try:
            built = graph.build(spec, name, level, stages, allow_python=True)
        except ConfigError as error:
            places = {problem.mark for problem in error.problems}
            others = [problem for problem in problems if problem.mark not in places]
            raise ConfigError([*others, *error.problems]) from None
        if problems:
            raise ConfigError(problems)
        return built


def load(path: str | os.PathLike[str]) -> Reading:
    """The net that a prototxt file holds. Raises ConfigError for a file that is none."""
    problems = Problems()
    fields = read(prototxt.load(path).message, "NetParameter", problems)
    problems.check()
    return of_fields(fields)


def of_fields(fields: Fields) -> Reading:
    """The net of a NetParameter. Raises ConfigError for one without layers."""
    report = Report()
    converted = nets.convert_fields(fields, report)
    written = old.layers(fields, Problems())
    for layer in converted.layers:
        if layer.get("type") == "Data" and "last_batch" not in layer:
            layer["last_batch"] = "wrap"  # as in Caffe, where every batch is full
    return Reading(converted, written, _words(written, converted), report.problems.found)


def _words(written: list[Fields], converted: nets.Net) -> Words:
    words = Words()
    for before, after in zip(written, converted.layers, strict=True):
        name, written_name = str(after.get("name", "")), str(before.get("name", ""))
        if (
            name not in words.layers
        ):  # of several layers with one name the first has it, here and where weights are saved
            words.layers[name] = name if written_name in words.layers.values() else written_name
        words.types[name, str(after.get("type", ""))] = str(before.get("type", ""))
        for key in ("bottom", "top"):
            words.blobs.update(zip(after.get(key, ()), before.get(key, ()), strict=True))
    return words


def _where(layer: Fields) -> str:
    return describe(str(layer.get("name", "")), str(layer.get("type", "")) or "untyped")
