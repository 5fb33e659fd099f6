"""`text`: any text in UTF-8, cut into windows of characters or words, for models that tell what comes next.

Sample shape (window,): numbers, which the class names name; `label` (window,) is the same text one step later. Windows
begin every `step`, by default one behind the other. Line ends become \\n.

Characters are numbered by their code points. A word is a run of letters and digits, with apostrophes inside, a tag like
<eos>, or any other character that is no white space; word 0 is <unk>, any word but the commonest, which follow, the
commonest first.

The vocabulary is that of the whole text; where `parts` names a file for `train`, it is that file's in all parts, and
elsewhere `vocabulary` names the text whose it is. Neighbouring windows share text, so shares of one text are divided in
its order, and no character of one part is in another.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from layerkit.blob import Array
from layerkit.datasets.dataset import Dataset
from layerkit.datasets.files import utf8
from layerkit.datasets.source import Header, Source
from layerkit.errors import DataError
from layerkit.words import counted

Level = Literal["character", "word"]
UNKNOWN = "<unk>"

_WORD = re.compile(r"<\w+>|\w+(?:['’]\w+)*|[^\w\s]")
_CODES = 0x110000  # code points that there are
_CHUNK = 1 << 20  # characters looked at in one go


class Text(Dataset):
    """Windows of a text. The source is its path."""

    parts: ClassVar[tuple[str, ...]] = ()
    overlaps: ClassVar[bool] = True

    type: Literal["text"] = "text"
    level: Level = Field("character", description="What is numbered: characters or words.")
    window: int = Field(64, ge=1, description="Characters or words of a sample.")
    step: int | None = Field(
        None, ge=1, description="How far a sample begins behind the one before; by default as far as it is long."
    )
    words: int = Field(10_000, ge=2, description="Size of a vocabulary of words, at most.")
    vocabulary: str | None = Field(
        None, description="Path of the text whose characters or words are numbered; by default the source."
    )

    def describe(self, source: str | None, part: str) -> Header:
        """Shapes, length and vocabulary; the text is read for them. Raises DataError as `open` does."""
        return self._windows(source).header

    def open(self, source: str | None, part: str) -> Source:
        """The windows. Raises DataError for a file that is missing, too short, not UTF-8, or has unknown characters."""
        return self._windows(source)

    def beside(self, paths: Mapping[str, str]) -> Text:
        """The same text, with the vocabulary of the file to train with."""
        if self.vocabulary is not None or "train" not in paths:
            return self
        return self.model_copy(update={"vocabulary": paths["train"]})

    def _windows(self, source: str | None) -> Windows:
        path = self.path(source, "the path of a text")
        known = path if self.vocabulary is None else self.vocabulary
        names = _names(known, utf8.stamp(known), self.level, self.words)
        numbers = _numbers(path, utf8.stamp(path), self.level, names, known)
        if len(numbers) <= self.window:
            have = counted(len(numbers), self.level)
            raise DataError(f"'{path}' has {have}, but a window of {self.window} and what follows it need more")
        return Windows(numbers, names, self.window, self.step or self.window)


class Windows(Source):
    """Windows over the numbers of a text, (length,), each with the same one later."""

    def __init__(self, numbers: Array, names: tuple[str, ...], window: int, step: int):
        self._windows = np.lib.stride_tricks.sliding_window_view(numbers, window + 1)[::step]
        shapes = dict.fromkeys(("data", "label"), (window,))
        dtypes = dict.fromkeys(shapes, numbers.dtype)
        self.header = Header(shapes, dtypes, len(self._windows), names, overlap=window // step)

    def read(self, indices: Array, out: Mapping[str, Array] | None = None) -> tuple[Array, ...]:
        """Windows `indices`; see Source."""
        windows = self._windows[indices]
        arrays = {"data": windows[:, :-1], "label": windows[:, 1:]}
        if out is None:
            return tuple(map(np.ascontiguousarray, arrays.values()))
        for name, into in out.items():
            into[...] = arrays[name]
        return tuple(out.values())


@functools.lru_cache(maxsize=4)
def _names(path: str, stamp: tuple[int, ...], level: Level, words: int) -> tuple[str, ...]:
    """The vocabulary of a text as it is at `stamp`, by number."""
    text = _read(path)
    if not text:
        raise DataError(f"'{path}' holds no text")
    if level == "word":
        counts = Counter(match[0] for match in _WORD.finditer(text))
        del counts[UNKNOWN]
        return (UNKNOWN, *sorted(counts, key=lambda word: (-counts[word], word))[: words - 1])
    seen = np.zeros(_CODES, bool)
    for codes in _code_points(text):
        seen[codes] = True
    return tuple(map(chr, np.flatnonzero(seen)))


@functools.lru_cache(maxsize=4)
def _numbers(path: str, stamp: tuple[int, ...], level: Level, names: tuple[str, ...], known: str) -> Array:
    """The numbers of a text as it is at `stamp`, (length,), read-only; `known` is where the vocabulary is from."""
    text, dtype = _read(path), np.min_scalar_type(max(len(names) - 1, 0))
    if level == "word":
        number = {name: i for i, name in enumerate(names)}
        numbers = np.fromiter((number.get(match[0], 0) for match in _WORD.finditer(text)), dtype)
    else:
        table = np.full(_CODES, -1, np.int32)
        table[[ord(name) for name in names]] = np.arange(len(names))
        numbers, start = np.empty(len(text), dtype), 0
        for codes in _code_points(text):
            found = table[codes]
            if found.min() < 0:
                raise DataError(_unknown(path, text, start + int(np.argmax(found < 0)), known))
            numbers[start : start + len(found)] = found
            start += len(found)
    numbers.flags.writeable = False
    return numbers


def _read(path: str) -> str:
    with utf8.reading(path) as file:
        return file.read()


def _code_points(text: str) -> Iterator[Array]:
    for start in range(0, len(text), _CHUNK):
        yield np.frombuffer(text[start : start + _CHUNK].encode("utf-32-le"), "<u4")


def _unknown(path: str, text: str, at: int, known: str) -> str:
    line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
    return f"'{path}', line {line}, column {column}: the character {text[at]!r} does not occur in '{known}'"
