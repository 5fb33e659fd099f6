"""Expands blocks and fills in defaults, in written order: what comes out is a flat list of layers, all names explicit.

Inside a block `$arg` stands for an argument's value and `$bottom` for what the use reads; a blob or layer named inside
belongs to the block and gets the use's name as a prefix; any other name is looked up outside. From outside, a use's
name stands for the block's output, the first top of its last layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from layerkit.errors import LayerkitError, Mark, Problems, Use, did_you_mean
from layerkit.graph.arguments import OWN_FIELDS, RULES, Argument, bad_declarations, declared, is_reference, substitute
from layerkit.registry import layer_class
from layerkit.spec import NetSpec
from layerkit.spec.layer import describe, name_fault
from layerkit.spec.sentences import plain
from layerkit.text import MAX_DEPTH, MAX_NODES, Map, Seq, mark_of

MAX_LAYERS = 10_000
MAX_NESTING = 50


class Resolved(str):
    """A blob's name that is complete: no scope adds a prefix to it."""


@dataclass
class Flat:
    """One layer, out of its blocks: its mapping with name, bottom and top filled in."""

    tree: Map
    uses: tuple[Use, ...]
    named: bool
    """Whether the file gave it a name."""
    default_bottom: bool = False
    """Whether its bottom is the layer above because the file gave it none."""
    faulty: bool = False
    """Whether a problem was found with it already: it stands only for the names it may have made."""
    prefix: str = ""
    """What its block put in front of its names."""

    def may_make(self, blob: str) -> bool:
        """Whether a layer that is wrong somewhere may have been meant to make this blob."""
        words = {word for value in self.tree.values() for word in _strings(value)}
        words |= {self.prefix + word for word in words}
        return blob in words or any(blob.startswith(word + "/") for word in words)


@dataclass
class _Scope:
    """The names that belong to one use of a block; the root scope is the file's own list."""

    prefix: str = ""
    names: set[str] = field(default_factory=set)
    args: dict[str, Any] = field(default_factory=dict)
    uses: tuple[Use, ...] = ()
    parent: _Scope | None = None
    blocks: tuple[str, ...] = ()
    rule: Map = field(default_factory=Map)
    """`include` or `exclude` of the use, which hold for all its layers."""

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


class _TooManyError(Exception):
    """The blocks expand to more layers or values than a net may have."""


class _Expander:
    def __init__(self, net: NetSpec, problems: Problems):
        self.net = net
        self.problems = problems
        self.flat: list[Flat] = []
        self.count = 0  # layers and uses of blocks so far
        self.values = 0  # values inside lists and mappings in blocks so far
        self.current: str | None = None  # the first top of the nearest layer above that is no loss or metric
        self.taken: set[str] = set()  # names that made-up names must avoid
        self.outputs: dict[str, str] = {}  # full name of a use -> the block's output
        self.broken: set[str] = set()  # blocks whose arguments are declared in a wrong way

    def run(self) -> list[Flat]:
        for name, block in self.net.blocks.items():
            marked = self.net.tree.get("blocks", {}).get(name, {}).get("args", {})
            faults = bad_declarations(marked or block.args, f"block {name!r}")
            self.problems.found += faults
            self.broken |= {name} if faults else set()
        try:
            self.layers(self.net.layers, _Scope(), ("layers",))
        except _TooManyError:
            return []
        made = {top for flat in self.flat for top in _strings(flat.tree["top"]) if top not in flat.tree["bottom"]}
        for flat in self.flat:
            bottoms = flat.tree["bottom"]
            in_place = [top if top in bottoms else None for top in flat.tree["top"]]
            for names, ours in ((bottoms, bottoms), (flat.tree["top"], in_place)):
                for i, name in enumerate(ours):
                    if isinstance(name, str) and name not in made:
                        names[i] = self.outputs.get(name, name)
        return self.flat

    def layers(self, entries: list[Any], scope: _Scope, path: tuple[str, ...]) -> None:
        """Add the layers of a list, which stands at `path` in the net."""
        trees: list[tuple[Map, bool]] = []
        for i, entry in enumerate(entries):
            mark = mark_of(self.net.tree, (*path, i))
            if not isinstance(entry, Map):
                message = f"a layer is a mapping such as {{name: relu1, type: ReLU}}, not {plain(entry)}"
                self.problems.add(message, f"{'.'.join(path)}[{i}]", mark, scope.uses)
                continue
            trees.append(self.substituted(entry, scope))
        scope.names = {name for tree, _ in trees for name in _declared(tree)}
        self.taken |= {scope.prefix + name for name in scope.names}
        uses = set[str]()
        for tree, faulty in trees:
            if bound := self.bound(tree, scope):
                self.problems.add(f"{bound} once every block is expanded", "net", tree.mark, scope.uses)
                raise _TooManyError
            if "block" not in tree:
                self.layer(tree, scope, faulty)
            elif faulty or not self.use(tree, scope, uses):
                self.stand_in(tree, scope)

    def bound(self, tree: Map, scope: _Scope) -> str | None:
        """Which bound a further layer or use breaks, or None."""
        self.count += 1
        if self.count > MAX_LAYERS:
            return f"more than {MAX_LAYERS} layers"
        if scope.uses:
            count, depth = _extent(tree, MAX_NODES)
            self.values += count
            if self.values > MAX_NODES:
                return f"more than {MAX_NODES} values in lists and mappings"
            if depth > MAX_DEPTH:
                return f"values nested more than {MAX_DEPTH} deep"
        return None

    def substituted(self, tree: Map, scope: _Scope) -> tuple[Map, bool]:
        """A layer's or use's mapping with the arguments put in, and whether one was missing."""
        before = len(self.problems.found)
        if scope.uses:
            where = f"block {scope.blocks[-1]!r}"
            tree = substitute(tree, scope.args, lambda text, mark: self.problems.add(text, where, mark, scope.uses))
        else:
            for key, value in tree.items():
                for i, word in enumerate(_strings(value)):
                    if is_reference(word):
                        mark = mark_of(tree, (key, i)) or mark_of(tree, (key,))
                        self.problems.add(f"{word!r} has a meaning only inside a block", _where(tree), mark)
        return tree, len(self.problems.found) > before

    # -- one layer -----------------------------------------------------------------------------------------------

    def layer(self, tree: Map, scope: _Scope, faulty: bool) -> None:
        """Add one layer with its defaults filled in."""
        cls = _class(tree.get("type"))
        filled = tree.without()
        named = isinstance(tree.get("name"), str) and bool(tree["name"])
        if named or "name" not in tree:
            filled["name"] = scope.prefix + tree["name"] if named else self.make_name(scope.prefix, tree)
        defaulted = tree.get("bottom") is None
        if defaulted:
            reads = isinstance(tree.get("type"), str) and (cls is None or cls.bottoms[0] > 0)
            if reads and self.current is None and not faulty and cls is not None:
                message = "has no 'bottom', and there is no layer above to take one from"
                self.problems.add(message, _where(filled), tree.mark, scope.uses)
                faulty = True
            filled["bottom"] = Seq([self.current] if reads and self.current is not None else [])
        else:
            filled["bottom"] = _each(tree["bottom"], scope.resolve)
        if tree.get("top") is not None:
            filled["top"] = _each(tree["top"], lambda top: scope.resolve(top) if scope.uses else top)
        elif cls is not None and cls.tops == (0, 0):
            filled["top"] = Seq()
        else:
            filled["top"] = Seq(_strings(filled.get("name")))
        self.put_rule(filled, scope, _where(filled))
        self.flat.append(Flat(filled, scope.uses, named, defaulted and bool(filled["bottom"]), faulty, scope.prefix))
        tops = _strings(filled["top"])
        if tops and not (cls is not None and (cls.loss or cls.metric)):
            self.current = tops[0]

    def put_rule(self, tree: Map, scope: _Scope, where: str) -> None:
        """Give a layer or use the `include` or `exclude` of the use around it."""
        for key, rule in scope.rule.items():
            if own := next((word for word in RULES if word in tree), None):
                message = f"the use of a block around it has {key!r}, so {own!r} cannot stand here"
                self.problems.add(message, where, tree.key_marks.get(own, tree.mark), scope.uses)
                continue
            tree.key_marks, tree.value_marks = dict(tree.key_marks), dict(tree.value_marks)
            tree.put(key, rule, scope.rule.key_marks.get(key), scope.rule.value_marks.get(key))

    def make_name(self, prefix: str, tree: Map) -> str:
        """A name for a layer that has none: its type, with a number where that is taken."""
        stem = prefix + str(tree.get("type", "layer")).lower()
        name = next(name for name in _numbered(stem) if name not in self.taken)
        self.taken.add(name)
        return name

    def stand_in(self, tree: Map, scope: _Scope) -> None:
        """Where a use is wrong: something that stands for the blobs it would have made."""
        name = str(tree.get("name", tree["block"]))
        output = scope.prefix + name
        filled = tree.without()
        filled["name"], filled["bottom"], filled["top"] = output, Seq(), Seq([output])
        self.flat.append(Flat(filled, scope.uses, True, False, True, scope.prefix))
        self.current = output

    # -- one use of a block --------------------------------------------------------------------------------------

    def use(self, tree: Map, scope: _Scope, names: set[str]) -> bool:
        """Add the layers of the block that is used; False where that cannot be, with the reason in `problems`."""
        block_name = tree["block"]
        where = f"use of block {block_name!r}" if isinstance(block_name, str) else "use of a block"
        before = len(self.problems.found)

        def fault(message: str, key: str | None = None) -> None:
            mark = tree.mark if key is None else tree.value_marks.get(key, tree.mark)
            self.problems.add(message, where, mark, scope.uses)

        block = self.net.blocks.get(block_name) if isinstance(block_name, str) else None
        if block is None and not isinstance(block_name, str):
            fault(f"block must be the name of a block, not {plain(block_name)}", "block")
        elif block is None:
            hint = did_you_mean(block_name, self.net.blocks) if self.net.blocks else "; the net has no 'blocks'"
            fault(f"there is no block {block_name!r}{hint}", "block")
        elif block_name in scope.blocks:
            chain = " uses ".join([*scope.blocks[scope.blocks.index(block_name) :], block_name])
            fault(f"a block cannot hold itself: {chain}", "block")
        elif len(scope.blocks) >= MAX_NESTING:
            fault(f"blocks are nested more than {MAX_NESTING} deep", "block")
        if block is None or len(self.problems.found) > before:
            return False
        arguments = (
            {name: declared(given) for name, given in block.args.items()} if block_name not in self.broken else {}
        )
        args = self.arguments(arguments, tree, scope, where)
        self.put_rule(tree, scope, where)
        if all(key in tree for key in RULES):
            fault("has both 'include' and 'exclude'; give one", RULES[1])
        repeat, bottom = tree.get("repeat", 1), tree.get("bottom")
        if not isinstance(repeat, int) or isinstance(repeat, bool) or repeat < 1:
            fault(f"repeat must be a whole number above 0, not {plain(repeat)}", "repeat")
        name = tree.get("name")
        if isinstance(name, str) and name in names:
            fault(f"another block in this list is used under the name {name!r}", "name")
        elif isinstance(name, str):
            names.add(name)
        given = _strings(bottom)
        if bottom is not None and (len(given) != 1 or bottom in ([], "")):
            fault(
                f"bottom must be the name of one blob, not {plain(bottom)}; "
                "a block takes further blobs as arguments of type blob",
                "bottom",
            )
        if block_name in self.broken or len(self.problems.found) > before:
            return False
        if given:
            outside = scope.resolve(given[0])
            self.current = self.outputs.get(outside, outside)
        for copy in [name] if "repeat" not in tree else (f"{name}{i + 1}" for i in range(repeat)):
            if self.current is not None:
                args["bottom"] = Resolved(self.current)
            prefix = f"{scope.prefix}{copy}/"
            start = len(self.flat)
            inside = (Use(block_name, tree.mark, prefix[:-1]), *scope.uses)
            rule = tree.without(*(key for key in tree if key not in RULES))
            inner = _Scope(prefix, set(), dict(args), inside, scope, (*scope.blocks, block_name), rule)
            self.layers(block.layers, inner, ("blocks", block_name, "layers"))
            if len(self.flat) > start and (tops := _strings(self.flat[-1].tree["top"])):
                self.outputs[prefix[:-1]] = self.outputs[scope.prefix + str(name)] = tops[0]
        return True

    def arguments(self, takes: dict[str, Argument], tree: Map, scope: _Scope, where: str) -> dict[str, Any]:
        """The values of a use's arguments by name, with a problem for each that is wrong or missing."""

        def fault(message: str, mark: Mark | None) -> None:
            self.problems.add(message, where, mark, scope.uses)

        known = [*takes, *OWN_FIELDS]
        unknown = [key for key in tree if key not in known] if tree["block"] not in self.broken else []
        for key in unknown:
            listed = f"; it takes {', '.join(takes)}" if takes else "; it takes none"
            hint = did_you_mean(key, known) or listed
            fault(f"there is no argument {key!r}{hint}", tree.key_marks.get(key, tree.mark))

        def misspelt(name: str) -> bool:
            return any(f"'{name}'" in did_you_mean(key, known) for key in unknown)

        if "name" not in tree and not misspelt("name"):
            fault("needs the field 'name'", tree.mark)
        elif "name" in tree and (not isinstance(tree["name"], str) or not tree["name"]):
            name = "''" if tree["name"] == "" else plain(tree["name"])
            fault(f"name must be text, not {name}", tree.value_marks.get("name", tree.mark))
        elif "name" in tree and (wrong := name_fault(scope.prefix + tree["name"])):
            fault(f"name {wrong}", tree.value_marks.get("name", tree.mark))
        args: dict[str, Any] = {}
        for name, argument in takes.items():
            if name not in tree:
                args[name] = argument.default
                if argument.required and not misspelt(name):
                    fault(f"needs the argument {name!r} ({argument.wants})", tree.mark)
            elif not argument.fits(tree[name]):
                message = f"argument {name!r} must be {argument.wants}, not {plain(tree[name])}"
                fault(message, tree.value_marks.get(name, tree.mark))
            else:
                args[name] = scope.resolve(tree[name]) if argument.kind == "blob" else tree[name]
        return args


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


def _extent(tree: Map, most: int) -> tuple[int, int]:
    """How many values stand inside a layer's fields, counted little further than `most`, and how deep."""
    level, count, depth = list(tree.values()), 0, 0
    while level and count <= most and depth <= MAX_DEPTH:
        level = list(islice((item for value in level for item in _items(value)), most + 1))
        count += len(level)
        depth += 1
    return count, depth


def _items(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list) else ()


def _class(kind: Any) -> Any:
    try:
        return layer_class(kind)
    except (LayerkitError, TypeError):
        return None  # read_layer reports it


def _each(value: Any, change: Callable[[Any], Any]) -> Seq:
    """A single name or a list of names as a list, each changed."""
    if isinstance(value, list):
        return Seq([change(item) for item in value], getattr(value, "mark", None), getattr(value, "marks", ()))
    return Seq([change(value)])


def _strings(value: Any) -> list[str]:
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str)]


def _where(tree: Map) -> str:
    name, kind = tree.get("name"), tree.get("type")
    return describe(name if isinstance(name, str) else "", kind if isinstance(kind, str) else "untyped")


def _numbered(stem: str) -> Iterator[str]:
    yield stem
    number = 2
    while True:
        yield f"{stem}{number}"
        number += 1
