"""RunSpec and NetSpec: a whole file, read from a path, a text or a dict."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, PrivateAttr

from layerkit import text
from layerkit.errors import ConfigError, Problem, Problems
from layerkit.fields import Strict
from layerkit.spec.sentences import Source, validate
from layerkit.spec.solver import SolverSpec
from layerkit.text import Map


class Block(Strict):
    """A reusable list of layers with arguments."""

    args: dict[str, Any] = Field(
        {}, description="Argument -> its type (required), its default, or {type: ..., default: ...}."
    )
    layers: list[Any] = Field(description="Layers and uses of other blocks; `$arg` stands for an argument's value.")


class NetSpec(Strict):
    """A net: its layers as written, before blocks are expanded."""

    name: str = Field("", description="Name of the net.")
    force_backward: bool = Field(False, description="Compute gradients of the net's inputs too.")
    blocks: dict[str, Block] = Field({}, description="Reusable lists of layers, by name.")
    layers: list[Any] = Field(description="The layers and uses of blocks, in any order.")

    _tree: Map = PrivateAttr(default_factory=Map)

    @property
    def tree(self) -> Map:
        """What the net was read from; knows places."""
        return self._tree


class RunSpec(Strict):
    """One file: a net and, unless it holds only a net, how to train it."""

    name: str = Field("", description="Name of the run and of its folder.")
    net: NetSpec = Field(description="The net, or the path of a file that holds one.")
    solver: SolverSpec | None = Field(None, description="How to train it.")

    _tree: Map = PrivateAttr(default_factory=Map)

    @property
    def tree(self) -> Map:
        """The run as it was read, other files included and overrides applied."""
        return self._tree

    def resolved(self) -> dict[str, Any]:
        """The run as plain dicts and lists, as it is written to the run's folder and into snapshots."""
        resolved: dict[str, Any] = text.to_python(self._tree)
        return resolved


def load_run(source: str | os.PathLike[str] | Mapping[str, Any], overrides: Iterable[str] = ()) -> RunSpec:
    """Read a run or a net from a YAML file's path, a YAML text or a dict.

    `overrides` are assignments such as `solver.base_lr=0.01`. Raises ConfigError with every fault found.
    """
    tree, folder, stem = _read(source)
    if "layers" in tree and "net" not in tree:
        tree = _as_run(tree)
    if isinstance(tree.get("net"), str):
        _include(tree, folder)
    for assignment in overrides:
        text.override(tree, assignment)
    problems = Problems()
    run = _validate(tree, stem, problems)
    problems.check()
    assert run is not None  # problems.check raised otherwise
    return run


def _read(source: str | os.PathLike[str] | Mapping[str, Any]) -> tuple[Map, Path, str]:
    """The tree, the folder that paths in it are relative to, and a name for a run that has none."""
    if isinstance(source, Mapping):
        return Map(text.from_python(source)), Path(), "run"
    if isinstance(source, str) and ("\n" in source or ": " in source or source.lstrip().startswith("{")):
        return text.parse(source), Path(), "run"
    path = Path(source)
    return text.load(source), path.parent, path.stem


def _as_run(net: Map) -> Map:
    """A file that holds only a net, as a run without a solver."""
    run = Map(mark=net.mark)
    run.put("net", net.without("solver"), net.mark, net.mark)
    if "name" in net:
        run.put("name", net["name"], net.key_marks.get("name"), net.value_marks.get("name"))
    if "solver" in net:
        run.put("solver", net["solver"], net.key_marks.get("solver"), net.value_marks.get("solver"))
    return run


def _include(run: Map, folder: Path) -> None:
    """Replace the path at `net:` by the net that the file holds."""
    path, mark = folder / run["net"], run.value_marks.get("net")
    if not path.is_file():
        raise ConfigError([Problem(f"net: there is no file {os.fspath(path)!r}", mark=mark)])
    net = text.load(path)
    if "layers" not in net:
        raise ConfigError([Problem(f"net: {os.fspath(path)!r} holds no 'layers'", mark=mark)])
    run["net"] = net


def _validate(tree: Map, stem: str, problems: Problems) -> RunSpec | None:
    values: dict[str, Any] = dict(tree)
    net_tree = tree.get("net")
    net: NetSpec | None = None
    if isinstance(net_tree, Map):
        net = validate(NetSpec, net_tree, Source(net_tree, "net"), problems)
        if net is not None:
            net._tree = net_tree
        values["net"] = net if net is not None else NetSpec(layers=[])
    solver_tree = tree.get("solver")
    if isinstance(solver_tree, Map):
        solver = validate(SolverSpec, solver_tree, Source(solver_tree, "solver"), problems)
        values["solver"] = solver
    run = validate(RunSpec, values, Source(tree), problems)
    if run is None:
        return None
    run = run if run.name else run.model_copy(update={"name": stem})
    run._tree = tree
    return run
