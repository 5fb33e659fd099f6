"""From the text of a formula to a tree: Python's grammar, cut down to a list of what a formula may hold.

The text is parsed, never run: the tree is read by `building`, which knows a few names and no other.
"""

from __future__ import annotations

import ast
import keyword
import unicodedata
import warnings

from layerkit.errors import ExpressionError

MAX_LENGTH = 4000
MAX_DEPTH = 100
"""How deep a formula may be nested. Operators one after another, as in a sum of many terms, are one level."""

OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.Div: "divide",
    ast.Pow: "power",
    ast.MatMult: "matmul",
    ast.USub: "negative",
    ast.UAdd: "",
    ast.Not: "opposite",
    ast.And: "both",
    ast.Or: "either",
    ast.Gt: "greater",
    ast.GtE: "greater_equal",
    ast.Lt: "less",
    ast.LtE: "less_equal",
    ast.Eq: "equal",
    ast.NotEq: "not_equal",
}
"""The primitive that an operator stands for; a plus sign stands for none."""

_HOLD = (
    ast.Expression, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.Call, ast.keyword, ast.Name, ast.Load,
    ast.Constant, ast.Tuple, ast.List, *OPERATORS,
)  # fmt: skip
_INSTEAD: dict[type[ast.AST], str] = {
    ast.IfExp: "write where(condition, a, b) for a choice",
    ast.Attribute: "a name has no parts",
    ast.Subscript: "a blob has no index here; use a Slice layer",
    ast.Starred: "each argument is written out",
    ast.BitXor: "a power is written **",
    ast.BitAnd: "conditions are joined by 'and'",
    ast.BitOr: "conditions are joined by 'or'",
    ast.Invert: "a condition is reversed by 'not'",
}


class Formula:
    """A formula that was read: its tree, and the characters at which the tree's parts stand."""

    def __init__(self, text: str):
        """Read a formula. Raises ExpressionError, with the place, for anything but a formula."""
        self.text = text
        if len(text) > MAX_LENGTH:
            raise ExpressionError(f"a formula has at most {MAX_LENGTH} characters, not {len(text)}")
        flat = text.translate(str.maketrans("\n\r\t\f", "    "))
        if not flat.strip():
            raise ExpressionError("there is no formula")
        if "#" in flat:
            raise ExpressionError("a formula holds no comments", flat.index("#"))
        self._start = len(flat) - len(flat.lstrip(" "))
        self._bytes = flat.encode("utf-8", "replace")[self._start :]
        self.tree = self._parse(flat[self._start :])
        self._check()

    def at(self, node: ast.AST) -> int:
        """The character at which a part of the tree begins."""
        column = getattr(node, "col_offset", 0)  # in bytes
        return self._start + len(self._bytes[:column].decode("utf-8", "replace"))

    def _parse(self, text: str) -> ast.expr:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # what Python warns of, as `1and 2`, is no formula either
                return ast.parse(text, mode="eval").body
        except SyntaxError as error:
            at = self._start + (error.offset or len(text) + 1) - 1  # without an offset: where the text ends
            raise ExpressionError(f"this is no formula: {error.msg}", max(0, min(at, len(self.text)))) from None
        except (ValueError, MemoryError, RecursionError, UnicodeError):  # NUL; deeper than Python's own parser goes
            raise ExpressionError("this is no formula that can be read") from None

    def _check(self) -> None:
        """Raise ExpressionError at the first thing that a formula may not hold."""
        waiting: list[tuple[ast.AST, int]] = [(self.tree, 0)]
        while waiting:
            node, depth = waiting.pop()
            if depth > MAX_DEPTH:
                raise ExpressionError(f"a formula is nested at most {MAX_DEPTH} deep", self.at(node))
            self._expect(node)
            parts = [each for each in ast.iter_child_nodes(node) if isinstance(each, (ast.expr, ast.keyword))]
            chained = isinstance(node, ast.BinOp) and isinstance(node.left, ast.BinOp)
            waiting += reversed([(each, depth + (not chained or i > 0)) for i, each in enumerate(parts)])

    def _expect(self, node: ast.AST) -> None:
        """Raise ExpressionError unless a formula may hold this part of the tree, whatever is inside of it."""
        for each in (node, getattr(node, "op", node)):
            if not isinstance(each, _HOLD):
                hint = _INSTEAD.get(type(each))
                raise ExpressionError(f"a formula cannot hold this{f': {hint}' if hint else ''}", self.at(node))
        if isinstance(node, ast.Constant) and type(node.value) not in (int, float, bool, type(None)):
            raise ExpressionError(f"a formula cannot hold {node.value!r:.40}: only numbers", self.at(node))
        if isinstance(node, ast.Call) and not isinstance(node.func, ast.Name):
            raise ExpressionError("a function is called by its name", self.at(node))
        if isinstance(node, ast.Compare) and not all(isinstance(each, _HOLD) for each in node.ops):
            raise ExpressionError("a formula has only the comparisons < <= > >= == !=", self.at(node))


def is_name(text: str) -> bool:
    """Whether a formula can call something by this name, which Python reads as it stands."""
    return text.isidentifier() and not keyword.iskeyword(text) and unicodedata.normalize("NFKC", text) == text
