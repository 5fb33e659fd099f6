"""Expands blocks and fills in defaults, in written order: what comes out is a flat list of layers, all names explicit.

Inside a block `$arg` stands for an argument's value and `$bottom` for what the use reads; a blob or layer named inside
belongs to the block and gets the use's name as a prefix; any other name is looked up outside. From outside, a use's
name stands for the block's output, the first top of its last layer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from layerkit.errors import LayerkitError, Mark, Problems, Use, did_you_mean
from layerkit.registry import layer_class
from layerkit.spec import Block, NetSpec
from layerkit.text import Map, Seq

MAX_LAYERS = 10_000

_REFERENCE = re.compile(r"\$(\$|[A-Za-z_]\w*)")
_OWN_FIELDS = ("block", "name", "bottom", "repeat")
_TYPES: dict[str, Callable[[Any], bool]] = {
    "int": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "float": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
    "bool": lambda v: isinstance(v, bool),
    "str": lambda v: isinstance(v, str),
    "list": lambda v: isinstance(v, list),
    "blob": lambda v: isinstance(v, str),
    "any": lambda v: True,
}


class Resolved(str):
    """A blob's name that is complete: no scope adds a prefix to it."""


@dataclass
class Flat:
    """One layer, out of its blocks: its mapping with name, bottom and top filled in."""

    tree: Map
    uses: tuple[Use, ...]
    named: bool
    """Whether the file gave it a name."""


@dataclass
class _Scope:
    """The names that belong to one use of a block; the root scope is the file's own list."""

    prefix: str = ""
    names: set[str] = field(default_factory=set)
    args: dict[str, Any] = field(default_factory=dict)
    uses: tuple[Use, ...] = ()
    parent: _Scope | None = None
    blocks: tuple[str, ...] = ()

    def resolve(self, name: Any) -> Any:
        """The full name of a blob that is spoken of in this scope."""
        if not isinstance(name, str) or isinstance(name, Resolved):
            return name
        scope: _Scope | None = self
        while scope is not None:
            if name in scope.names or name.split("/")[0] in scope.names:
                return Resolved(scope.prefix + name)
            scope = scope.parent
        return Resolved(name)


def expand(net: NetSpec, problems: Problems) -> list[Flat]:
    """The net's layers without blocks, in written order, names, bottoms and tops filled in."""
    return _Expander(net, problems).run()


class _Expander:
    def __init__(self, net: NetSpec, problems: Problems):
        self.net = net
        self.problems = problems
        self.flat: list[Flat] = []
        self.current: str | None = None  # the first top of the nearest layer above that is no loss or metric
        self.taken: set[str] = set()  # names that made-up names must avoid
        self.outputs: dict[str, str] = {}  # full name of a use -> the block's output

    def run(self) -> list[Flat]:
        self.layers(self.net.layers, _Scope(), None)
        tops = {top for flat in self.flat for top in _strings(flat.tree.get("top"))}
        for flat in self.flat:
            self.point_to_outputs(flat.tree, tops)
        return self.flat

    def point_to_outputs(self, tree: Map, tops: set[str]) -> None:
        """Replace bottoms that name a use by the output of its block."""
        bottoms = tree.get("bottom")
        if isinstance(bottoms, list):
            for i, name in enumerate(bottoms):
                if name not in tops:
                    bottoms[i] = self.outputs.get(name, name)

    def layers(self, entries: list[Any], scope: _Scope, mark: Mark | None) -> None:
        trees: list[Map] = []
        for entry in entries:
            if isinstance(entry, Map):
                trees.append(self.substitute(entry, scope) if scope.uses else entry)
            else:
                self.problems.add("a layer must be a mapping", "net", mark or self.net.tree.mark, scope.uses)
        scope.names = {name for tree in trees for name in _declared(tree)}
        self.taken |= {scope.prefix + name for name in scope.names}
        for tree in trees:
            if len(self.flat) >= MAX_LAYERS:
                return
            if "block" in tree:
                self.use(tree, scope)
            else:
                self.layer(tree, scope)

    # -- one layer -----------------------------------------------------------------------------------------------

    def layer(self, tree: Map, scope: _Scope) -> None:
        if len(self.flat) + 1 >= MAX_LAYERS:
            self.problems.add(
                f"more than {MAX_LAYERS} layers once every block is expanded", "net", tree.mark, scope.uses
            )
        cls = _class(tree.get("type"))
        filled = Map(tree, tree.mark)
        filled.key_marks, filled.value_marks = tree.key_marks, tree.value_marks
        named = isinstance(tree.get("name"), str) and bool(tree["name"])
        if named or "name" not in tree:
            filled["name"] = scope.prefix + tree["name"] if named else self.make_name(scope.prefix, tree)
        if tree.get("bottom") is None:
            reads = cls is None or cls.bottoms != (0, 0)
            if reads and self.current is None:
                self.problems.add(
                    "has no 'bottom', and there is no layer above to take one from",
                    _name(filled),
                    tree.mark,
                    scope.uses,
                )
            filled["bottom"] = Seq([self.current] if reads and self.current is not None else [])
        else:
            filled["bottom"] = _each(tree["bottom"], scope.resolve)
        if tree.get("top") is None:
            filled["top"] = Seq([] if cls is not None and cls.tops == (0, 0) else [filled.get("name", "")])
        else:
            filled["top"] = _each(tree["top"], lambda top: top if not scope.uses else scope.resolve(top))
        self.flat.append(Flat(filled, scope.uses, named))
        tops = _strings(filled["top"])
        if tops and not (cls is not None and (cls.loss or cls.metric)):
            self.current = tops[0]

    def make_name(self, prefix: str, tree: Map) -> str:
        """A name for a layer that has none: its type, with a number where that is taken."""
        stem = prefix + str(tree.get("type", "layer")).lower()
        name = next(name for name in _numbered(stem) if name not in self.taken)
        self.taken.add(name)
        return name

    # -- one use of a block --------------------------------------------------------------------------------------

    def use(self, tree: Map, scope: _Scope) -> None:
        block_name, name = tree["block"], tree.get("name")
        where = f"use of block {block_name!r}"
        mark = tree.mark
        block = self.net.blocks.get(block_name) if isinstance(block_name, str) else None
        if block is None:
            hint = did_you_mean(str(block_name), self.net.blocks)
            self.problems.add(
                f"there is no block {block_name!r}{hint}", where, tree.value_marks.get("block", mark), scope.uses
            )
            return
        if block_name in scope.blocks:
            chain = " uses ".join([*scope.blocks[scope.blocks.index(block_name) :], block_name])
            self.problems.add(f"a block inside itself: {chain}", where, mark, scope.uses)
            return
        args = self.arguments(block, tree, scope, where)
        if args is None:
            return
        repeat = tree.get("repeat", 1)
        if not isinstance(repeat, int) or isinstance(repeat, bool) or repeat < 1:
            self.problems.add(
                f"repeat must be a whole number above 0, not {repeat!r}",
                where,
                tree.value_marks.get("repeat"),
                scope.uses,
            )
            return
        if tree.get("bottom") is not None:
            given = _strings(_each(tree["bottom"], scope.resolve))
            self.current = self.outputs.get(given[0], given[0]) if given else self.current
        inside = (Use(block_name, mark), *scope.uses)
        for copy in [name] if "repeat" not in tree else [f"{name}{i + 1}" for i in range(repeat)]:
            bottom = {"bottom": Resolved(self.current)} if self.current is not None else {}
            prefix = f"{scope.prefix}{copy}/"
            inner = _Scope(prefix, set(), {**args, **bottom}, inside, scope, (*scope.blocks, block_name))
            before = len(self.flat)
            self.layers(block.layers, inner, mark)
            if len(self.flat) > before and (tops := _strings(self.flat[-1].tree["top"])):
                self.outputs[prefix[:-1]] = self.outputs[scope.prefix + str(name)] = tops[0]

    def arguments(self, block: Block, tree: Map, scope: _Scope, where: str) -> dict[str, Any] | None:
        """The block's arguments by name, or None with a problem for each that is wrong or missing."""
        before = len(self.problems.found)
        hints = {}
        for key in tree:
            if key not in block.args and key not in _OWN_FIELDS:
                hints[key] = did_you_mean(key, [*block.args, *_OWN_FIELDS])
                message = f"block {tree['block']!r} has no argument {key!r}{hints[key]}"
                self.problems.add(message, where, tree.key_marks.get(key, tree.mark), scope.uses)
        if "name" not in tree and not any("'name'" in hint for hint in hints.values()):
            self.problems.add("needs the field 'name'", where, tree.mark, scope.uses)
        elif "name" in tree and not isinstance(tree["name"], str):
            self.problems.add("name must be text", where, tree.value_marks.get("name", tree.mark), scope.uses)
        args: dict[str, Any] = {}
        for name, declared in block.args.items():
            kind, required, default = _declaration(declared)
            if kind not in _TYPES or name in (*_OWN_FIELDS, "type"):
                fault = (
                    f"the name {name!r} is taken"
                    if kind in _TYPES
                    else f"{kind!r} is no type{did_you_mean(kind, _TYPES)}"
                )
                at = getattr(block.args, "mark", None)
                self.problems.add(
                    f"argument {name!r} of block {tree['block']!r}: {fault}", where, at or tree.mark, scope.uses
                )
            elif name in tree:
                if not _TYPES[kind](tree[name]):
                    message = f"argument {name!r} must be of type {kind}, not {tree[name]!r}"
                    self.problems.add(message, where, tree.value_marks.get(name, tree.mark), scope.uses)
                args[name] = scope.resolve(tree[name]) if kind == "blob" else tree[name]
            elif not required:
                args[name] = default
            elif not any(repr(name) in hint for hint in hints.values()):
                self.problems.add(f"needs the argument {name!r} ({kind})", where, tree.mark, scope.uses)
        return args if len(self.problems.found) == before else None

    def substitute(self, tree: Any, scope: _Scope, mark: Mark | None = None) -> Any:
        """A copy of a tree with `$arg` replaced: by the value itself where it stands alone, as text inside text."""
        if isinstance(tree, Map):
            copy = Map(mark=tree.mark)
            copy.key_marks, copy.value_marks = tree.key_marks, tree.value_marks
            for key, value in tree.items():
                copy[key] = self.substitute(value, scope, tree.value_marks.get(key, tree.mark))
            return copy
        if isinstance(tree, list):
            marks = tree.marks if isinstance(tree, Seq) else []
            return Seq([self.substitute(item, scope, mark) for item in tree], getattr(tree, "mark", None), marks)
        if not isinstance(tree, str) or "$" not in tree:
            return tree
        whole = _REFERENCE.fullmatch(tree)
        if whole and whole[1] != "$":
            return self.value(whole[1], scope, mark)
        return _REFERENCE.sub(lambda m: "$" if m[1] == "$" else str(self.value(m[1], scope, mark)), tree)

    def value(self, name: str, scope: _Scope, mark: Mark | None) -> Any:
        if name not in scope.args:
            message = f"there is no argument '${name}'{did_you_mean(name, scope.args)}"
            if name == "bottom":
                message = "'$bottom' has nothing to stand for: the use has no 'bottom' and there is no layer above"
            self.problems.add(message, f"block {scope.blocks[-1]!r}", mark, scope.uses)
        return scope.args.get(name)


def _declared(tree: Map) -> Iterator[str]:
    """The names that a layer or use brings into its scope."""
    name = tree.get("name")
    if isinstance(name, str):
        yield name
        repeat = tree.get("repeat")
        if "block" in tree and isinstance(repeat, int):
            yield from (f"{name}{i + 1}" for i in range(min(repeat, MAX_LAYERS)))
    if "block" not in tree:
        yield from (top for top in _strings(tree.get("top")) if not isinstance(top, Resolved))


def _declaration(declared: Any) -> tuple[str, bool, Any]:
    """Type, whether it is required, and default of an argument as it was declared."""
    if isinstance(declared, str) and declared in _TYPES:
        return declared, True, None
    if isinstance(declared, Mapping) and "type" in declared and set(declared) <= {"type", "default"}:
        return str(declared["type"]), "default" not in declared, declared.get("default")
    kind = next((kind for kind in ("int", "float", "bool", "str", "list") if _TYPES[kind](declared)), "any")
    return kind, False, declared


def _class(kind: Any) -> Any:
    try:
        return layer_class(kind)
    except (LayerkitError, TypeError):
        return None  # read_layer reports it


def _each(value: Any, change: Callable[[Any], Any]) -> Any:
    """A single name or a list of names as a list, each changed; arguments that are lists are flattened in."""
    if isinstance(value, list):
        marks = value.marks if isinstance(value, Seq) else []
        return Seq([change(item) for item in value], getattr(value, "mark", None), marks)
    return Seq([change(value)])


def _strings(value: Any) -> list[str]:
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str)]


def _name(tree: Map) -> str:
    return f"layer {tree.get('name', '')!r} ({tree.get('type', 'untyped')})"


def _numbered(stem: str) -> Iterator[str]:
    yield stem
    number = 2
    while True:
        yield f"{stem}{number}"
        number += 1
