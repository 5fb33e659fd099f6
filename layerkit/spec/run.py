"""RunSpec and NetSpec: a whole file, read from a path, a text or a dict."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PrivateAttr, field_validator

from layerkit import text
from layerkit.errors import Problems, nearest
from layerkit.fields import Strict
from layerkit.spec.layer import NetState
from layerkit.spec.overrides import override
from layerkit.spec.sentences import Source, validate
from layerkit.spec.solver import SolverSpec
from layerkit.text import Map
from layerkit.threads import MOST

BESIDE_LAYERS = ("solver", "threads", "engine")
"""Fields of a run that may stand in a file that holds only a net."""

_FOLDER = re.compile(r"[\w+-][\w .+-]{0,99}")


class Block(Strict):
    """A reusable list of layers with arguments."""

    args: dict[str, Any] = Field(
        {}, description="Argument -> its type (required), its default, or {type: ..., default: ...}."
    )
    recompute: bool = Field(
        False, description="Training: compute its blobs again for the backward pass instead of keeping them."
    )
    layers: list[Any] = Field(
        min_length=1, description="Layers and uses of other blocks; `$arg` stands for an argument's value."
    )


class NetSpec(Strict):
    """A net: its layers as written, before blocks are expanded."""

    name: str = Field("", description="Name of the net.")
    force_backward: bool = Field(False, description="Compute gradients of the net's inputs too.")
    recompute: bool = Field(
        False, description="Training: compute most blobs again for the backward pass instead of keeping them."
    )
    blocks: dict[str, Block] = Field({}, description="Reusable lists of layers, by name.")
    layers: list[Any] = Field(min_length=1, description="The layers and uses of blocks, in any order.")

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
    engine: Literal["auto", "numpy", "onednn"] = Field("auto", description="What runs the layers; auto: the fastest.")
    threads: int | None = Field(
        None, gt=0, le=MOST, description="Threads that compute; left out, as many as the machine has cores for."
    )

    @field_validator("name")
    @classmethod
    def _names_a_folder(cls, name: str) -> str:
        if name and not _FOLDER.fullmatch(name):
            raise ValueError(
                f"{name!r} cannot name the run's folder: use letters, digits, spaces and . _ + -, "
                f"at most 100 of them, and no dot at the start"
            )
        return name

    _tree: Map = PrivateAttr(default_factory=Map)

    @property
    def tree(self) -> Map:
        """The run as it was read, other files included and overrides applied."""
        return self._tree

    def state(self, phase: str) -> NetState:
        """Level and stages that the solver gives the net of a phase; of test and predict the first test net's."""
        return next(iter(self.states(phase).values()))

    def states(self, phase: str) -> dict[str, NetState]:
        """Those of all nets of a phase: by the phase, and for test nets after the first by `test NAME`."""
        if self.solver is None:
            return {phase: NetState(phase)}
        said = [self.solver.train_state] if phase == "train" else self.solver.test_state
        listed = [NetState(phase, state.level, frozenset(state.stage)) for state in said]
        more = [f"{phase} {state.name}" for state in said[1:]] if phase == "test" else []
        return dict(zip([phase, *more], listed, strict=False))

    def resolved(self) -> dict[str, Any]:
        """The run as plain dicts and lists, as it is written to the run's folder and into snapshots."""
        return {"name": self.name, **text.to_python(self._tree)} | {"name": self.name}


Origin = str | os.PathLike[str] | Mapping[str, Any]
"""Where a run or a net comes from: a YAML file's path, a YAML text or a dict."""


def load_run(source: Origin, overrides: Iterable[str] = (), problems: Problems | None = None) -> RunSpec:
    """Read a run or a net from a YAML file's path, a YAML text or a dict.

    `overrides` are assignments such as `solver.base_lr=0.01`. Raises ConfigError with every fault found; but with
    `problems` the faults of its fields are added there, and the run comes without the parts that are wrong.
    """
    found = Problems() if problems is None else problems
    tree, folder, stem = _read(source)
    only_net = _holds_only_net(tree)
    if only_net:
        tree = _as_run(tree)
    given = tree.get("net")
    _include(tree, folder, found)
    for assignment in overrides:
        first = assignment.partition("=")[0].split(".")[0]
        inside = tree["net"] if only_net and first != "name" and first in NetSpec.model_fields else tree
        with found.collecting():
            override(inside, assignment)
    if tree.get("net") is not given:
        _include(tree, Path(), found)  # a path that an override gave
    run = _validate(tree, stem, found, BESIDE_LAYERS if only_net else [])
    if problems is None:
        found.check()
    return run


def read_net(tree: Map, problems: Problems, beside: Iterable[str] = ()) -> NetSpec:
    """The net that a tree says, or an empty one with its faults added to `problems`; see `load_run`."""
    net = validate(NetSpec, tree, Source(tree, "net"), problems, beside) or NetSpec.model_construct(layers=[])
    net._tree = tree
    return net


def _read(source: Origin) -> tuple[Map, Path, str]:
    """The tree, the folder that paths in it are relative to, and a name for a run that has none."""
    if isinstance(source, Mapping):
        return Map(text.from_python(source)), Path(), "run"
    if isinstance(source, str) and ("\n" in source or ": " in source or source.lstrip().startswith("{")):
        return text.parse(source), Path(), "run"
    path = Path(source)
    return text.load(source), path.parent, path.stem


def _holds_only_net(tree: Map) -> bool:
    """Whether a file is a net without a run: it has `layers`, spelt right or nearly, and no `net`."""
    others = [key for key in tree if key not in RunSpec.model_fields]
    return "net" not in tree and ("layers" in tree or any(nearest(key, ["layers"]) for key in others))


def _as_run(net: Map) -> Map:
    """A file that holds only a net, as a run without a solver."""
    run = Map(mark=net.mark)
    run.put("net", net.without(*BESIDE_LAYERS), net.mark, net.mark)
    for key in ("name", *BESIDE_LAYERS):
        if key in net:
            run.put(key, net[key], net.key_marks.get(key), net.value_marks.get(key))
    return run


def _include(run: Map, folder: Path, problems: Problems) -> None:
    """Replace the path at `net:` by the net that the file holds."""
    given = run.get("net")
    if not isinstance(given, str):
        return
    path, mark = folder / given, run.value_marks.get("net")
    if not os.path.isfile(path):  # unlike Path.is_file it does not mind a name too long
        problems.add(f"there is no file {os.fspath(path)!r}", "net", mark)
        return
    with problems.collecting():
        net = text.load(path)
        if "layers" in net or _holds_only_net(net):
            run["net"] = net
        else:
            problems.add(f"{os.fspath(path)!r} is no net: it has no 'layers:'", "net", mark)


def _validate(tree: Map, stem: str, problems: Problems, beside: Iterable[str]) -> RunSpec:
    """The run, with an empty net or no solver in place of one that is wrong; `beside` may stand beside the layers."""
    values: dict[str, Any] = dict(tree)
    net_tree, solver_tree = tree.get("net"), tree.get("solver")
    net = NetSpec.model_construct(layers=[])
    if isinstance(net_tree, str):
        values["net"] = net  # of a file that could not be read, which was said
    elif isinstance(net_tree, Map):
        net = values["net"] = read_net(net_tree, problems, beside)
    if isinstance(solver_tree, Map):
        values["solver"] = validate(SolverSpec, solver_tree, Source(solver_tree, "solver"), problems)
    run = validate(RunSpec, values, Source(tree), problems) or RunSpec(net=net, solver=None)
    if not run.name:
        run = run.model_copy(update={"name": re.sub(r"[^\w .+-]", "-", stem).lstrip(". ") or "run"})
    if not run.net.name:
        run = run.model_copy(update={"net": run.net.model_copy(update={"name": run.name})})
    run._tree = tree
    return run
