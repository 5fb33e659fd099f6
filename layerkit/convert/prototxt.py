"""Protobuf's text format, in which Caffe's nets and solvers are written, to a tree that knows every place.

What the fields mean is not known here: values stay as they are written until `schema` reads them as the types that
they have. A list `[a, b]` is the same as the field given twice, as in protobuf.

Source: the text format's description in protobuf's documentation.
"""

from __future__ import annotations

import bisect
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from layerkit.errors import ConfigError, Mark, Problem
from layerkit.text import read_bytes

MAX_BYTES = 5_000_000
MAX_VALUES = 200_000
MAX_DEPTH = 60

_TOKEN = re.compile(
    r"""(?P<space>\s+) | (?P<comment>\#[^\n]*)
    | (?P<word>[A-Za-z_]\w*)
    | (?P<number>(?:0[xX][0-9a-fA-F]+ | (?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[fF]?)(?![\w.]))
    | (?P<string>"(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*')
    | (?P<sign>[{}<>\[\]:;,/.+-])""",
    re.VERBOSE | re.ASCII,
)
_ESCAPE = re.compile(
    r"\\(?:(?P<octal>[0-7]{1,3})|[xX](?P<hex>[0-9a-fA-F]{1,2})|u(?P<u4>[0-9a-fA-F]{4})|U(?P<u8>[0-9a-fA-F]{8})|(?P<one>.))"
)
_ONE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"} | {c: c for c in "?\\'\""}
_BRACES = {"{": "}", "<": ">"}


@dataclass(frozen=True)
class Scalar:
    """One value as it is written; of a string its characters."""

    kind: str
    """`string`, `number` or `word` (an enumeration's name, true, inf ...)."""
    text: str
    mark: Mark


@dataclass
class Message:
    """Fields in the order in which they are written; a repeated field stands there several times."""

    mark: Mark
    fields: list[Field] = field(default_factory=list)
    last_line: int = 0
    """The line of its closing brace."""


@dataclass(frozen=True)
class Field:
    """A field's name and value."""

    name: str
    value: Scalar | Message
    mark: Mark
    """The place of its name."""


@dataclass
class Text:
    """A whole file: its message, and the comments that stand alone on a line, by line."""

    message: Message
    comments: dict[int, str]


def load(path: str | os.PathLike[str]) -> Text:
    """Read a prototxt file. Raises ConfigError for a file that is missing or too large, and as `parse` does."""
    raw = read_bytes(path, MAX_BYTES, "a net")
    return parse(raw.decode("utf-8-sig", errors="replace"), os.fspath(path))  # comments are often in another encoding


def parse(text: str, file: str | None = None) -> Text:
    """Read prototxt text. Raises ConfigError, with line and column, where it does not follow the format."""
    parser = _Parser(text, file)
    return Text(parser.fields(Message(Mark(file, 1, 1)), None, 0), parser.comments)


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int


class _Parser:
    def __init__(self, text: str, file: str | None):
        self.text, self.file = text, file
        self.lines = [0, *(match.end() for match in re.finditer("\n", text))]
        self.comments: dict[int, str] = {}
        self.tokens = self.scan()
        self.token = next(self.tokens)
        self.values = 0

    # -- tokens --------------------------------------------------------------------------------------------------

    def scan(self) -> Iterator[_Token]:
        at = 0
        while at < len(self.text):
            match = _TOKEN.match(self.text, at)
            if match is None:
                raise self.stray(at)
            kind = str(match.lastgroup)
            if kind == "comment":
                line = bisect.bisect_right(self.lines, at)
                if not self.text[self.lines[line - 1] : at].strip():
                    self.comments[line] = "".join(filter(str.isprintable, match[0].expandtabs(2))).rstrip()
            elif kind != "space":
                yield _Token(kind, match[0], at)
            at = match.end()
        while True:
            yield _Token("end", "", at)

    def stray(self, at: int) -> ConfigError:
        """What to say of characters that begin nothing."""
        found = self.text[at]
        if found in "\"'":
            return self.error(f"a string without its closing {found} on the line", at)
        if found.isdigit() or found == ".":
            word = re.match(r"[\w.]+", self.text[at:])
            return self.error(f"{word[0] if word else found!r} is no number", at)
        return self.error(f"{found!r} has no meaning here", at)

    def mark(self, at: int) -> Mark:
        line = bisect.bisect_right(self.lines, at)
        return Mark(self.file, line, at - self.lines[line - 1] + 1)

    def error(self, message: str, at: int) -> ConfigError:
        return ConfigError([Problem(message, mark=self.mark(at))])

    def take(self) -> _Token:
        token, self.token = self.token, next(self.tokens)
        return token

    def took(self, *signs: str) -> str | None:
        """The sign that comes next if it is one of these, which is then done with."""
        if self.token.kind == "sign" and self.token.text in signs:
            return self.take().text
        return None

    def expected(self, what: str) -> ConfigError:
        found = repr(self.token.text) if self.token.kind != "end" else "the file ends"
        return self.error(
            f"{what} should come here, but {found}{' does' if self.token.kind != 'end' else ''}", self.token.start
        )

    # -- what is made of them ------------------------------------------------------------------------------------

    def fields(self, message: Message, closing: str | None, depth: int) -> Message:
        """Read fields up to the closing brace, or to the end of the text."""
        opened = message.mark
        while closing is None or not (self.token.kind == "sign" and self.token.text == closing):
            if self.token.kind == "end":
                if closing is None:
                    break
                raise self.error(f"the file ends, but the message that begins at {opened.line}:{opened.column} "
                                 f"has no {closing!r}", self.token.start)  # fmt: skip
            self.field(message, depth)
        message.last_line = self.mark(self.token.start).line
        if closing:
            self.take()
        return message

    def field(self, message: Message, depth: int) -> None:
        start = self.token.start
        name = self.name()
        colon = self.took(":")
        if self.took("["):
            while not self.took("]"):
                self.value(message, name, start, depth)
                if not self.took(",") and self.token.text != "]":
                    raise self.expected("',' or ']'")
        elif colon or self.token.text in _BRACES:
            self.value(message, name, start, depth)
        else:
            raise self.expected(f"':' or '{{' behind {name!r}")
        self.took(";", ",")

    def name(self) -> str:
        """A field's name, or an extension's in brackets."""
        if self.token.kind == "word":
            return self.take().text
        if not self.took("["):
            raise self.expected("a field's name")
        parts = ["["]
        while self.token.kind == "word" or self.token.text in (".", "/", "-"):
            parts.append(self.take().text)
        if not self.took("]"):
            raise self.expected("']'")
        return "".join((*parts, "]"))

    def value(self, message: Message, name: str, start: int, depth: int) -> None:
        """Read one value of a field."""
        self.values += 1
        if self.values > MAX_VALUES:
            raise self.error(f"more than {MAX_VALUES:,} values", start)
        at = self.token.start
        brace = self.took(*_BRACES)
        if brace and depth == MAX_DEPTH:
            raise self.error(f"nested more than {MAX_DEPTH} deep", at)
        value = self.fields(Message(self.mark(at)), _BRACES[brace], depth + 1) if brace else self.scalar()
        message.fields.append(Field(name, value, self.mark(start)))

    def scalar(self) -> Scalar:
        at = self.token.start
        if self.token.kind == "string":
            parts = []
            while self.token.kind == "string":  # neighbours are one string
                parts.append(self.unescaped(self.take()))
            try:
                return Scalar("string", b"".join(parts).decode(), self.mark(at))
            except UnicodeDecodeError:
                raise self.error("this string is not UTF-8 text", at) from None
        negative = self.took("-")
        if self.token.kind == "number" or (
            self.token.kind == "word" and (not negative or _is_infinite(self.token.text))
        ):
            token = self.take()
            kind = "number" if token.kind == "number" or _is_infinite(token.text) else "word"
            return Scalar(kind, ("-" if negative else "") + token.text, self.mark(at))
        raise self.expected("a number" if negative else "a value")

    def unescaped(self, token: _Token) -> bytes:
        """The characters of a string between its quotes."""
        text = token.text[1:-1]
        if "\ufffd" in text:
            raise self.error("this string is not UTF-8 text; save the file as UTF-8", token.start)
        parts, at = [], 0
        for match in _ESCAPE.finditer(text):
            parts += [text[at : match.start()].encode(), self.escaped(match, token)]
            at = match.end()
        return b"".join((*parts, text[at:].encode()))

    def escaped(self, match: re.Match[str], token: _Token) -> bytes:
        kind, digits = str(match.lastgroup), match[match.lastgroup or 0]
        if kind in ("octal", "hex") and (value := int(digits, 8 if kind == "octal" else 16)) < 256:
            return bytes([value])
        if kind in ("u4", "u8") and (code := int(digits, 16)) < 0x110000 and not 0xD800 <= code < 0xE000:
            return chr(code).encode()
        if kind == "one" and digits in _ONE:
            return _ONE[digits].encode()
        raise self.error(f"a string has no escape {match[0]!r}", token.start + 1 + match.start())


def _is_infinite(word: str) -> bool:
    return word.lower() in ("inf", "infinity", "nan")
