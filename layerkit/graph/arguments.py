"""Arguments of blocks: how they are declared, what fits them, and how `$arg` is replaced by its value."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from layerkit.errors import Mark, Problem, did_you_mean
from layerkit.spec.sentences import plain
from layerkit.text import Map, Seq, mark_of

RULES = ("include", "exclude")
OWN_FIELDS = ("block", "name", "bottom", "repeat", *RULES)
"""Fields that every use of a block has."""

MAX_TEXT = 10_000
"""Most characters of a text into which arguments are put."""

_REFERENCE = re.compile(r"\$(\$|[A-Za-z_]\w*)")


Report = Callable[[str, Mark | None], None]
"""What `substitute` tells of every reference that cannot be replaced, and of its place."""


class _Kind(NamedTuple):
    wants: str
    fits: Callable[[Any], bool]


_KINDS = {
    "int": _Kind("a whole number", lambda v: isinstance(v, int) and not isinstance(v, bool)),
    "float": _Kind("a number", lambda v: isinstance(v, (int, float)) and not isinstance(v, bool)),
    "bool": _Kind("true or false", lambda v: isinstance(v, bool)),
    "str": _Kind("text", lambda v: isinstance(v, str)),
    "list": _Kind("a list", lambda v: isinstance(v, list)),
    "blob": _Kind("the name of a blob", lambda v: isinstance(v, str)),
    "any": _Kind("anything", lambda v: True),
}


class Argument(NamedTuple):
    """An argument as it was declared."""

    kind: str
    required: bool
    default: Any

    @property
    def wants(self) -> str:
        """What a value must be, in words."""
        return _KINDS[self.kind].wants

    def fits(self, value: Any) -> bool:
        """Whether a value is of the argument's type."""
        return _KINDS[self.kind].fits(value)


def declared(given: Any) -> Argument:
    """What a declaration says: a type (then it is required), a default, or {type: ..., default: ...}."""
    if isinstance(given, str) and given in _KINDS:
        return Argument(given, True, None)
    if _is_long(given):
        return Argument(str(given["type"]), "default" not in given, given.get("default"))
    kinds = (kind for kind in ("int", "float", "bool", "str", "list") if _KINDS[kind].fits(given))
    return Argument(next(kinds, "any"), False, given)


def bad_declarations(args: Mapping[str, Any], where: str) -> list[Problem]:
    """What is wrong with a block's `args`."""
    found = []
    for name, given in args.items():
        argument = declared(given)
        if name in (*OWN_FIELDS, "type") or not _REFERENCE.fullmatch(f"${name}"):
            reason = (
                "is a field of its own" if name in (*OWN_FIELDS, "type") else "is not made of letters, digits and _"
            )
            found.append(
                Problem(
                    f"no argument can have the name {name!r}, which {reason}", where, mark_of(args, (name,), key=True)
                )
            )
            continue
        strays = [key for key in given if key not in ("type", "default")] if _is_long(given) else []
        for key in strays:
            message = f"argument {name!r}: unknown field {key!r}{did_you_mean(key, ['type', 'default'])}"
            found.append(Problem(message, where, mark_of(args, (name, key), key=True)))
        if argument.kind not in _KINDS:
            hint = did_you_mean(argument.kind, _KINDS) or f"; there are: {', '.join(_KINDS)}"
            message = f"argument {name!r}: there is no type {argument.kind!r}{hint}"
            found.append(Problem(message, where, mark_of(args, (name, "type"))))
        elif not argument.required and argument.default is not None and not argument.fits(argument.default):
            message = f"argument {name!r}: its default must be {argument.wants}, not {plain(argument.default)}"
            found.append(Problem(message, where, mark_of(args, (name, "default"))))
    return found


def _is_long(given: Any) -> bool:
    return isinstance(given, Mapping) and "type" in given


def is_reference(text: str) -> bool:
    """Whether a text is `$name` and nothing else."""
    whole = _REFERENCE.fullmatch(text)
    return whole is not None and whole[1] != "$"


def substitute(tree: Any, args: Mapping[str, Any], report: Report, mark: Mark | None = None) -> Any:
    """A copy of a tree with `$arg` replaced: by the value itself where it stands alone, as text inside text."""
    if isinstance(tree, Map):
        copy = tree.without()
        for key, item in tree.items():
            copy[key] = substitute(item, args, report, tree.value_marks.get(key, tree.mark))
        return copy
    if isinstance(tree, Seq):
        items = [substitute(item, args, report, at) for item, at in zip(tree, tree.marks, strict=True)]
        return Seq(items, tree.mark, tree.marks)
    if not isinstance(tree, str) or "$" not in tree:
        return tree

    def value(name: str) -> Any:
        if name not in args:
            report(_unknown(name, args), mark)
        return args.get(name)

    length = 0  # of what the arguments bring

    def text(match: re.Match[str]) -> str:
        nonlocal length
        if match[1] == "$":
            return "$"
        found = value(match[1])
        if isinstance(found, (list, Mapping)):
            report(f"${match[1]} is {plain(found)}, which cannot be a part of the text {tree!r}", mark)
        words = str(found).lower() if isinstance(found, bool) else str(found)
        length += len(words)
        return words if length <= MAX_TEXT else ""

    if is_reference(tree):
        return value(tree[1:])
    result = _REFERENCE.sub(text, tree)
    if max(length, len(result)) > MAX_TEXT:
        report(f"a text of more than {MAX_TEXT} characters once its arguments are put in", mark)
    return result


def _unknown(name: str, args: Iterable[str]) -> str:
    if name == "bottom":
        return "$bottom has nothing to stand for: the use has no 'bottom' and there is no layer above"
    return f"the block has no argument for '${name}'{did_you_mean(name, args)}"
