"""`--set a.b.c=value`: values that replace those of a file before it is validated."""

from __future__ import annotations

from typing import Any

from layerkit.errors import ConfigError, Mark, Problem, did_you_mean
from layerkit.text import Map, Seq, parse_value


def override(tree: Map, assignment: str) -> None:
    """Apply `a.b.c=value` to a tree in place; the value is YAML; layers of a list are reached by their names.

    Raises ConfigError for text that is no assignment or that leads nowhere.
    """
    mark = Mark(f"--set {assignment}", 0, 0)
    path, equals, written = assignment.partition("=")
    steps = path.split(".")
    if not equals or not all(steps):
        raise ConfigError([Problem("not of the form a.b=value", mark=mark)])
    try:
        value = parse_value(written)
    except ConfigError as error:
        raise ConfigError([Problem(problem.message, mark=mark) for problem in error.problems]) from None
    inner: Any = tree
    for i, step in enumerate(steps[:-1]):
        inner = _descend(inner, step, steps[:i], mark)
    if not isinstance(inner, Map):
        name = ".".join(steps[:-1])
        raise ConfigError([Problem(f"{name} is no mapping, so there is nothing to set in it", mark=mark)])
    inner.put(steps[-1], _relocate(value, mark), mark, mark)


def _descend(tree: Any, step: str, above: list[str], mark: Mark) -> Any:
    """What stands at one step of a path; a mapping that is not there yet is made."""
    if isinstance(tree, Map):
        if tree.get(step) is None:
            tree.put(step, Map(mark=mark), mark, mark)
        return tree[step]
    if isinstance(tree, Seq):
        named = {str(item["name"]): item for item in tree if isinstance(item, Map) and "name" in item}
        if step not in named:
            hint = did_you_mean(step, named) or f"; there are: {', '.join(named)}"
            raise ConfigError([Problem(f"no layer in {'.'.join(above)} has the name {step!r}{hint}", mark=mark)])
        return named[step]
    raise ConfigError([Problem(f"{'.'.join(above)} is a single value, so there is no {step!r} in it", mark=mark)])


def _relocate(tree: Any, mark: Mark) -> Any:
    """The same tree with every place set to `mark`."""
    if isinstance(tree, Map):
        moved = Map(mark=mark)
        for key, item in tree.items():
            moved.put(key, _relocate(item, mark), mark, mark)
        return moved
    if isinstance(tree, Seq):
        return Seq([_relocate(item, mark) for item in tree], mark, [mark] * len(tree))
    return tree
