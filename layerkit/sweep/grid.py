"""From assignments with several values to checked runs: the grid, random picks of it, and a folder's name for each."""

from __future__ import annotations

import hashlib
import math
import os
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from layerkit import graph
from layerkit.errors import ConfigError, Problem, UsageError
from layerkit.spec import RunSpec
from layerkit.text import parse_value

MOST = 10_000
"""More runs than this are taken for a slip."""

Goal = Literal["max", "min"]

_OPEN, _CLOSE = "[{(", "]})"
_PLAIN = re.compile(r"[^\w.+,=-]+")
"""What does not go into a folder's name as it is."""
_LONGEST = 100


@dataclass(frozen=True)
class Axis:
    """One `--set`: what it sets, and the values that it takes in turn, as they were written."""

    path: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Combination:
    """One run of a sweep."""

    values: Mapping[str, str]
    """What is varied -> the value here, as written; by short names, such as base_lr or fc1.num_output."""
    assignments: tuple[str, ...]
    """Everything that is set, in the order in which it was written."""
    run: RunSpec
    goals: Mapping[str, Goal]
    """Each single number that the test net gives, and whether it is good for it to be great or small."""
    metrics: tuple[str, ...]
    """Those of them that are metrics."""

    @property
    def label(self) -> str:
        """The values in one line: `base_lr=0.1,fc1.num_output=64`."""
        return _label(self.values)

    @property
    def folder(self) -> str:
        """The name of the run's folder: the label, made fit for a file system, and then with a digest to tell apart."""
        plain = _PLAIN.sub("-", self.label)[:_LONGEST]
        if plain == self.label:
            return plain
        return f"{plain.strip('-')}-{hashlib.blake2b(self.label.encode(), digest_size=4).hexdigest()}"


def plan(
    source: str | os.PathLike[str],
    assignments: Sequence[str],
    *,
    picks: int | None = None,
    seed: int = 0,
    always: Sequence[str] = (),
    allow_python: bool = False,
) -> list[Combination]:
    """Every combination of the values in `assignments`, or `picks` random ones, each a run that was checked as a whole.

    `a.b=1,2` gives two values and `a.b=[1,2],[3,4]` two lists. The last assignment varies fastest; picks come in the
    order in which `seed` draws them, so that more picks are the same and others. `always` is set too, in every run,
    and `allow_python` is as in `graph.load`. Raises ConfigError with every fault of every combination at once, and
    UsageError where there is nothing to vary.
    """
    axes = [_axis(assignment) for assignment in assignments]
    varied = [axis for axis in axes if len(axis.values) > 1]
    _expect_sense(axes, varied)
    total = math.prod(len(axis.values) for axis in axes)
    if min(total, picks or total) > MOST:
        raise UsageError(f"that makes {total:,} runs, and {MOST:,} are the most; --random N takes N of them")
    names = _short_names(varied)
    planned: list[Combination] = []
    faults: dict[str, list[str]] = {}  # what is wrong -> the combinations in which it is
    chosen = list(_chosen(total, picks, seed))
    for number in chosen:
        values = _values(axes, number)
        settings = [f"{axis.path}={value}" for axis, value in zip(axes, values, strict=True)]
        picked = {names[axis.path]: value for axis, value in zip(axes, values, strict=True) if axis in varied}
        try:
            loaded = graph.load(source, overrides=[*settings, *always], allow_python=allow_python)
        except ConfigError as error:
            for problem in error.problems:
                faults.setdefault(str(problem), []).append(_label(picked))
            continue
        if loaded.run.solver is None:
            raise UsageError(f"the run {loaded.run.name!r} has no 'solver', so there is nothing to train by")
        goals, metrics = _goals(loaded.graphs.get("test"))
        planned.append(Combination(picked, tuple(settings), loaded.run, goals, metrics))
    if faults:
        raise ConfigError([Problem(_where(labels, len(chosen)) + fault) for fault, labels in faults.items()])
    return planned


def split(text: str) -> tuple[str, ...]:
    """The values between the commas of a text, those in brackets or quotes left whole: `[3,5],7` is `[3,5]` and `7`."""
    values, depth, quote = [""], 0, ""
    for letter in text:
        if letter == "," and depth == 0 and not quote:
            values.append("")
            continue
        values[-1] += letter
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'" and (depth or not values[-1][:-1].strip()):  # within a word it is an apostrophe
            quote = letter
        else:
            depth += (letter in _OPEN) - (letter in _CLOSE and depth > 0)
    return tuple(value.strip() for value in values)


def _axis(assignment: str) -> Axis:
    path, equals, written = assignment.partition("=")
    values = split(written) if equals else ("",)
    if not equals or not path:
        raise ConfigError([Problem(f"--set {assignment}: not of the form a.b=value or a.b=value,value")])
    if len(values) > 1 and "" in values:
        raise ConfigError([Problem(f"--set {assignment}: a value is missing beside a comma")])
    seen: dict[str, str] = {}
    for value in values:
        same = seen.setdefault(_meaning(value), value)
        if same is not value:
            raise ConfigError([Problem(f"--set {assignment}: {same} and {value} are the same value")])
    return Axis(path, values)


def _meaning(value: str) -> str:
    """Equal for values that are read as the same one."""
    try:
        return repr(parse_value(value))
    except ConfigError:  # of which is spoken when the run is checked
        return value


def _expect_sense(axes: Sequence[Axis], varied: Sequence[Axis]) -> None:
    """Raise UsageError where there is nothing to vary, or something that cannot be."""
    if not varied:
        raise UsageError("nothing varies: give several values, as in --set solver.base_lr=0.1,0.01")
    paths = [axis.path for axis in axes]
    for axis in varied:
        if axis.path in ("name", "threads"):
            hint = "the runs of a sweep share it" if axis.path == "name" else "--threads are divided among the jobs"
            raise UsageError(f"--set {axis.path} cannot have several values: {hint}")
        if paths.count(axis.path) > 1:
            raise UsageError(f"--set {axis.path} is given twice; give all its values in one")


def _short_names(axes: Sequence[Axis]) -> dict[str, str]:
    """Path -> a short name: solver.base_lr is base_lr, net.layers.fc1.num_output is fc1.num_output."""
    short = {axis.path: axis.path.removeprefix("solver.").removeprefix("net.layers.") for axis in axes}
    names = list(short.values())
    return {path: name if names.count(name) == 1 else path for path, name in short.items()}


def _chosen(total: int, picks: int | None, seed: int) -> Iterator[int]:
    """The numbers of the combinations to run: all in order, or random ones without repetition."""
    if picks is None or picks >= total:
        yield from range(total)
        return
    draw, seen = random.Random(seed), set[int]()
    while len(seen) < picks:
        number = draw.randrange(total)
        if number not in seen:
            seen.add(number)
            yield number


def _values(axes: Sequence[Axis], number: int) -> list[str]:
    """The values of the combination of that number, an axis each."""
    values: list[str] = []
    for axis in reversed(axes):
        number, index = divmod(number, len(axis.values))
        values.insert(0, axis.values[index])
    return values


def _goals(built: graph.Graph | None) -> tuple[dict[str, Goal], tuple[str, ...]]:
    """The single numbers that a test net gives, each with its goal, and which of them are metrics.

    Of a metric more is better, unless its type is an error's; of anything else less.
    """
    if built is None:
        return {}, ()
    goals: dict[str, Goal] = {}
    metrics: list[str] = []
    for node in built.nodes:
        for ref in node.tops:
            if ref.name in built.outputs and math.prod(built.shapes[ref]) == 1:
                metric = node.spec.cls.metric
                goals[ref.name] = "max" if metric and not node.spec.type.endswith("Error") else "min"
                metrics += [ref.name] if metric else []
    return goals, tuple(metrics)


def _label(values: Mapping[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in values.items())


def _where(labels: Sequence[str], total: int) -> str:
    """In which combinations something is wrong; nothing where it is so in all, since the file itself is wrong then."""
    if len(labels) == total:
        return ""
    more = f" (and {len(labels) - 1} more)" if len(labels) > 1 else ""
    return f"{labels[0]}{more}: "
