"""Caffe's solver files: what a solver.prototxt says of the nets, of the training and of snapshots."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from layerkit.convert import prototxt, solver_nets, solverstate
from layerkit.convert import solver as solvers
from layerkit.convert.report import Report
from layerkit.convert.schema import Fields, read, unknown_fields
from layerkit.errors import ConfigError, Problem
from layerkit.pycaffe import reading
from layerkit.pycaffe.reading import Reading
from layerkit.spec import SolverSpec


@dataclass
class SolverFile:
    """A solver.prototxt as it was read."""

    path: Path
    fields: Fields

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> SolverFile:
        """Raises ConfigError for a file that is no solver."""
        report = Report()
        fields = read(prototxt.load(path).message, "SolverParameter", report.problems)
        report.problems.found += unknown_fields(fields)
        report.problems.check()
        return cls(Path(path), fields)

    @property
    def type(self) -> str:
        """The update rule, as layerkit calls it."""
        return str(solvers.settings(self.fields, Report()).get("type", "SGD"))

    @property
    def prefix(self) -> str:
        """What the names of snapshots begin with: by default the file's own, and in a folder that is given, too."""
        given = str(self.fields.get("snapshot_prefix", "")) or str(self.path.with_suffix(""))
        return os.path.join(given, self.path.stem) if os.path.isdir(given) else given

    @property
    def ending(self) -> str:
        """What the names of snapshots end with: .h5 for those in HDF5."""
        return solverstate.HDF5 if str(self.fields.get("snapshot_format")) in ("HDF5", "0") else ""

    def spec(self, kind: str) -> SolverSpec:
        """The settings, for an update rule of layerkit's name. Raises ConfigError with all that is wrong with them."""
        fields = Fields(self.fields.kind, self.fields.mark)
        left_out = {"test_iter", "test_state", "train_state", "type", "solver_type"}
        if not self.fields.get("display"):
            left_out.add("debug_info")  # which comes with displays
        for name, value in self.fields.items():
            if name not in left_out:
                fields.put(name, value, self.fields.key_marks.get(name), self.fields.value_marks.get(name))
        usual: dict[str, Any] = {"type": kind, "display": 0, "max_iter": 1}
        if kind in ("AdaDelta", "Adam"):
            usual["momentum"] = 0.0
        for name, value in usual.items():
            if name not in fields:
                fields.put(name, value, self.fields.mark, self.fields.mark)
        report = Report()
        settings = solvers.settings(fields, report)
        report.problems.check()
        return SolverSpec.model_validate(settings)

    # -- nets --------------------------------------------------------------------------------------------------------

    def train(self) -> tuple[Reading, dict[str, Any]]:
        """The net to train, with its level and stages. Raises ConfigError where there is none."""
        for found in self._nets("train_net_param", "train_net", "net_param", "net"):
            return found, _state(self.fields.get("train_state"))
        raise ConfigError([Problem("the solver names no net to train", mark=self.fields.mark)])

    def tests(self) -> Iterator[tuple[Reading, dict[str, Any], int]]:
        """The nets to test, each with its level and stages and the batches of a test: one for each test_iter."""
        batches, states = self.fields.get("test_iter", []), self.fields.get("test_state", [])
        found = list(self._nets("test_net_param", "test_net"))
        while len(found) < len(batches):
            general = list(self._nets("net_param", "net"))
            if not general:
                break
            found += general
        for i, (net, count) in enumerate(zip(found, batches, strict=False)):
            yield net, _state(states[i] if i < len(states) else None), count

    def _nets(self, *names: str) -> Iterator[Reading]:
        for name in names:
            values = self.fields.get(name, [])
            for value in values if isinstance(values, list) else [values]:
                yield reading.of_fields(value) if isinstance(value, Fields) else reading.load(self._file(name, value))

    def _file(self, name: str, given: str) -> Path:
        path = solver_nets.found_file(given, self.path.parent)
        if path is None:
            problem = f"there is no file {given!r}, neither here nor beside the solver"
            raise ConfigError([Problem(problem, name, self.fields.value_marks.get(name))])
        return path


def _state(fields: Fields | None) -> dict[str, Any]:
    found: Mapping[str, Any] = fields or {}
    return {"level": int(found.get("level", 0)), "stages": list(found.get("stage", ()))}
