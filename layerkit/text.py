"""YAML text to a tree that knows where every value stands.

The reader is PyYAML's safe one with YAML 1.2's core schema where 1.1 surprises: `1e-3` is a float, `on` and `no` are
strings, `010` is ten, there are no dates and no merge keys. Nothing in a file is ever constructed but mappings, lists,
strings, numbers, booleans and null. Only this module and `syntax` import yaml.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from layerkit.errors import ConfigError, Mark, Problem, Problems
from layerkit.syntax import TooMuchError, syntax_problem

MAX_BYTES = 1_000_000
MAX_NODES = 100_000
MAX_DEPTH = 60
WIDTH = 120
"""Longest line that is written, where it can be helped."""
MAX_INT = 2**63 - 1

_TAG = "tag:yaml.org,2002:"
_TOO_DEEP = f"nested more than {MAX_DEPTH} deep"


class Map(dict[str, Any]):
    """A mapping with the places of its keys and values."""

    def __init__(self, items: Mapping[str, Any] | None = None, mark: Mark | None = None):
        super().__init__(items or {})
        self.mark = mark
        self.key_marks: dict[str, Mark] = {}
        self.value_marks: dict[str, Mark] = {}

    def put(self, key: str, value: Any, key_mark: Mark | None, value_mark: Mark | None) -> None:
        """Set an item together with its places."""
        self[key] = value
        if key_mark is not None:
            self.key_marks[key] = key_mark
        if value_mark is not None:
            self.value_marks[key] = value_mark

    def without(self, *keys: str) -> Map:
        """A copy that lacks `keys` and keeps every place."""
        rest = Map({key: value for key, value in self.items() if key not in keys}, self.mark)
        rest.key_marks, rest.value_marks = self.key_marks, self.value_marks
        return rest


class Seq(list[Any]):
    """A list with the places of its items."""

    def __init__(self, items: Sequence[Any] = (), mark: Mark | None = None, marks: Sequence[Mark | None] = ()):
        super().__init__(items)
        self.mark = mark
        self.marks = list(marks) or [None] * len(self)


def read_bytes(path: str | os.PathLike[str], limit: int, what: str) -> bytes:
    """A file of at most `limit` bytes, which is to be `what`. Raises ConfigError for one that is missing or larger."""
    name = os.fspath(path)
    try:
        with Path(path).open("rb") as stream:
            raw = stream.read(limit + 1)
    except FileNotFoundError:
        raise ConfigError([Problem(f"there is no file {name!r}")]) from None
    except (OSError, ValueError) as error:  # ValueError: a path that no file can have
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError([Problem(f"cannot read {name!r}: {reason}")]) from None
    if len(raw) > limit:
        fault = f"larger than {limit // 1_000_000} MB, too large for {what}"
        raise ConfigError([Problem(fault, mark=Mark(name, 0, 0))])
    return raw


_CONVERTED = "; a YAML file of it is made by: layerkit convert FILE -o net.yaml"
_NO_CONFIGS = {
    ".safetensors": "a snapshot, not a YAML file; the net in it is shown by: layerkit draw FILE",
    ".prototxt": f"a file of Caffe's, not a YAML file{_CONVERTED}",
    ".onnx": f"an ONNX model, not a YAML file{_CONVERTED}",
}
"""Files that are easily taken for configs, by their suffix, and what to do with them."""


def load(path: str | os.PathLike[str]) -> Map:
    """Read a YAML file, a mapping at its top, as a tree. Raises ConfigError with every fault of the text."""
    name = os.fspath(path)
    suffix = Path(path).suffix.lower()
    if suffix in _NO_CONFIGS and Path(path).is_file():
        raise ConfigError([Problem(f"{name!r} is {_NO_CONFIGS[suffix].replace('FILE', name)}")])
    raw = read_bytes(path, MAX_BYTES, "a config")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        fault = f"not UTF-8 text (byte 0x{raw[error.start]:02x}); save the file as UTF-8"
        raise ConfigError([Problem(fault, mark=Mark(name, line, column))]) from None
    return parse(text, name)


def parse(text: str, file: str | None = None) -> Map:
    """Read YAML text, a mapping at its top, as a tree. Raises ConfigError with every fault of the text."""
    tree = parse_value(text, file)
    if tree is None:
        raise ConfigError([Problem("the file is empty", mark=Mark(file, 1, 1))])
    if not isinstance(tree, Map):
        kind = "a list" if isinstance(tree, Seq) else "a single value"
        fault = f"a config is a mapping with 'net:' or 'layers:' at its top, not {kind}"
        raise ConfigError([Problem(fault, mark=Mark(file, 1, 1))])
    return tree


def comments(text: str) -> dict[int, str]:
    """The comments of YAML text that stand alone on a line, by line, with the spaces in front."""
    values = set[int]()  # the further lines of values that have several, on which # means nothing
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        if isinstance(token, yaml.ScalarToken):
            end = token.end_mark
            values.update(range(token.start_mark.line + 2, end.line + (2 if end.column else 1)))
    lines = enumerate(text.split("\n"), 1)
    return {i: line.rstrip() for i, line in lines if line.lstrip().startswith("#") and i not in values}


def parse_value(text: str, file: str | None = None) -> Any:
    """Read YAML text of any kind as a tree of Map, Seq and plain values. Raises ConfigError."""
    try:
        node = _CoreLoader(text).get_single_node()
    except yaml.YAMLError as error:
        raise ConfigError([syntax_problem(error, text, file)]) from None
    if node is None:
        return None
    problems = Problems()
    tree = _Builder(file, problems).build(node)
    problems.check()
    return tree


def from_python(value: Any, depth: int = 1) -> Any:
    """The tree of a net or run given as Python dicts and lists: the same types, without places."""
    if depth > MAX_DEPTH:
        raise ConfigError([Problem(_TOO_DEEP)])
    if isinstance(value, Mapping):
        return Map({str(key): from_python(item, depth + 1) for key, item in value.items()})
    if isinstance(value, (list, tuple)):
        return Seq([from_python(item, depth + 1) for item in value])
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a numpy scalar
        return value.item()
    return value


def to_python(tree: Any) -> Any:
    """Plain dicts and lists, as JSON and YAML writers want them."""
    if isinstance(tree, Mapping):
        return {key: to_python(item) for key, item in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [to_python(item) for item in tree]
    return str(tree) if isinstance(tree, str) else tree  # names that blocks resolved are a kind of str


def dump(tree: Any) -> str:
    """YAML text of a tree: keys in their order, short mappings on one line."""
    return yaml.dump(to_python(tree), Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=WIDTH)


def one_line(tree: Any) -> str:
    """YAML text of a value on one line, as it stands behind a key or a dash."""
    listed = yaml.dump([to_python(tree)], Dumper=_Dumper, sort_keys=False, default_flow_style=True, width=float("inf"))
    return str(listed).strip()[1:-1]


def item(tree: Mapping[str, Any], indent: str) -> list[str]:
    """A mapping as the lines of an item of a list: on one line where it is short, else with a line for each key.

    So is a list of mappings in it, as a layer's body is, laid out in items of its own where it is long.
    """
    line = f"{indent}- {one_line(tree)}"
    if len(line) <= WIDTH:
        return [line]
    lines: list[str] = []
    for key, value in tree.items():
        start = f"{indent}{'  ' if lines else '- '}{key}:"
        line = f"{start} {one_line(value)}"
        if len(line) > WIDTH and isinstance(value, list) and all(isinstance(each, Mapping) for each in value):
            lines += [start, *(part for each in value for part in item(each, f"{indent}    "))]
        else:
            lines.append(line)
    return lines


def mark_of(tree: Any, path: Sequence[str | int], *, key: bool = False) -> Mark | None:
    """The place of the value at `path`, or of the nearest thing around it; with `key`, the place of its key."""
    mark: Mark | None = getattr(tree, "mark", None)
    for depth, step in enumerate(path):
        last = depth == len(path) - 1
        if isinstance(tree, Map) and step in tree:
            name = str(step)
            places = tree.key_marks if key and last else tree.value_marks
            mark = places.get(name, mark)
            tree = tree[name]
        elif isinstance(tree, Seq) and isinstance(step, int) and step < len(tree):
            mark = tree.marks[step] or mark
            tree = tree[step]
        else:
            break
    return mark


class _CoreLoader(yaml.SafeLoader):
    """Composes nodes by YAML 1.2's core schema; bounds their depth and their number."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (PyYAML's own attribute)

    def __init__(self, text: str):
        super().__init__(text)
        self._depth = self._count = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._depth += 1
        self._count += 1
        if self._depth > MAX_DEPTH or self._count > MAX_NODES:
            fault = _TOO_DEEP if self._depth > MAX_DEPTH else f"more than {MAX_NODES} values"
            raise TooMuchError(problem=fault, problem_mark=self.peek_event().start_mark)  # type: ignore[no-untyped-call]
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Dumper(yaml.SafeDumper):
    """Quotes the strings that YAML 1.1 or 1.2 would take for something else; writes no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _kind, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
):
    for _class in (_CoreLoader, _Dumper):
        _class.add_implicit_resolver(_TAG + _kind, re.compile(rf"^(?:{_pattern})$"), _first)


class _Builder:
    """Builds the tree from composed nodes, counting what aliases multiply."""

    def __init__(self, file: str | None, problems: Problems):
        self.file = file
        self.problems = problems
        self.count = 0
        self.open: list[yaml.Node] = []

    def mark(self, node: yaml.Node) -> Mark:
        start, end = node.start_mark, node.end_mark
        quotes = None
        if isinstance(node, yaml.ScalarNode) and start.line == end.line:
            quotes = 1 if node.style in ("'", '"') else 0
            if end.column - start.column != len(node.value) + 2 * quotes:  # escapes, or the end lies behind it
                quotes = None
        return Mark(self.file, start.line + 1, start.column + 1, quotes)

    def build(self, node: yaml.Node) -> Any:
        self.count += 1
        if self.count > MAX_NODES:
            fault = f"more than {MAX_NODES} values once every alias is expanded"
            raise ConfigError([Problem(fault, mark=self.mark(node))])
        if any(node is outer for outer in self.open):
            raise ConfigError([Problem("this value holds an alias of itself, and so has no end", mark=self.mark(node))])
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node)
        self.open.append(node)
        value = self.mapping(node) if isinstance(node, yaml.MappingNode) else self.sequence(node)
        self.open.pop()
        return value

    def mapping(self, node: yaml.MappingNode) -> Map:
        self.expect_tag(node, "map")
        built = Map(mark=self.mark(node))
        for key_node, value_node in node.value:
            key, mark = self.key(key_node), self.mark(key_node)
            if key in built:
                first = built.key_marks[key].line
                self.problems.add(f"the key {key!r} is given twice; the first is in line {first}", mark=mark)
            built.put(key, self.build(value_node), mark, self.mark(value_node))
        return built

    def key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            self.problems.add("a key must be plain text", mark=self.mark(node))
            return "?"
        if node.value == "<<" and node.style is None:
            self.problems.add("merge keys (<<) are not part of YAML 1.2; use 'blocks'", mark=self.mark(node))
        return str(node.value)

    def sequence(self, node: yaml.Node) -> Seq:
        self.expect_tag(node, "seq")
        return Seq([self.build(item) for item in node.value], self.mark(node), [self.mark(item) for item in node.value])

    def scalar(self, node: yaml.ScalarNode) -> Any:
        kind = node.tag.removeprefix(_TAG)
        text = node.value
        try:
            if kind == "str":
                return text
            if kind == "null" and text in ("~", "null", "Null", "NULL", ""):
                return None
            if kind == "bool":
                return {"true": True, "false": False}[text.lower()]
            if kind == "int":
                return self.whole(node, int(text, 0 if text[:2] in ("0o", "0x") else 10))
            if kind == "float":
                return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        except (ValueError, KeyError):
            fault = "has too many digits" if text.lstrip("+-").isdigit() else f"does not fit its tag !!{kind}"
            self.problems.add(f"{_shorten(text)!r} {fault}", mark=self.mark(node))
            return None
        self.refuse_tag(node)
        return None

    def whole(self, node: yaml.ScalarNode, value: int) -> int:
        if abs(value) > MAX_INT:
            self.problems.add(f"the whole number {_shorten(node.value)} is too large", mark=self.mark(node))
        return value

    def expect_tag(self, node: yaml.Node, kind: str) -> None:
        if node.tag != _TAG + kind:
            self.refuse_tag(node)

    def refuse_tag(self, node: yaml.Node) -> None:
        tag = "!!" + node.tag.removeprefix(_TAG) if node.tag.startswith(_TAG) else node.tag
        self.problems.add(f"the tag {tag} is not allowed; a config holds only plain values", mark=self.mark(node))


def _shorten(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
