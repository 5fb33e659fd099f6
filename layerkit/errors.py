"""What can go wrong, as one tree; every message is a sentence for the person who reads it.

    LayerkitError
    ├── ConfigError     a YAML file, dict or option that says something that cannot be; holds every Problem found
    ├── ShapeError      shapes that do not fit a layer, a blob or a weight
    ├── ExpressionError a formula that means nothing, or whose shapes do not fit
    ├── DataError       a source that is missing or broken, a label out of range, a value that is not finite
    ├── SnapshotError   a snapshot or solver state that cannot be read, written, or does not fit the net
    ├── UnknownNameError     a blob, layer, weight, type or phase that does not exist (also a KeyError)
    └── UsageError      a call that cannot be carried out as it stands

The command line prints the message and exits with status 2; a traceback means a bug in layerkit.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace


class LayerkitError(Exception):
    """Base of every error that layerkit raises on purpose. `field` names the layer's parameter to look at, if any."""

    field: str | None = None

    @property
    def path(self) -> tuple[int | str, ...]:
        """Where to look among a layer's parameters: `field`, and what it holds there."""
        return () if self.field is None else (self.field,)


class ShapeError(LayerkitError, ValueError):
    """Shapes that do not fit. `field` names the parameter to look at, where there is one, and `inside` a part of it."""

    def __init__(self, message: str, field: str | None = None, *inside: int | str):
        super().__init__(message)
        self.field = field
        self.inside = inside

    @property
    def path(self) -> tuple[int | str, ...]:
        return (*super().path, *self.inside)


class ExpressionError(LayerkitError, ValueError):
    """A formula that means nothing, or whose shapes do not fit.

    `offset` is the character of the formula that is at fault, None where that is not one place; the formula stands at
    `inside` the parameter `field`.
    """

    def __init__(self, message: str, offset: int | None = None, *, field: str | None = None):
        super().__init__(message)
        self.message, self.offset, self.field = message, offset, field
        self.inside: tuple[str, ...] = ()

    @property
    def path(self) -> tuple[int | str, ...]:
        return (*super().path, *self.inside)

    def __str__(self) -> str:
        return self.message if self.offset is None else f"{self.message} (at character {self.offset + 1})"


class DataError(LayerkitError, ValueError):
    """A source or a sample that cannot be used."""


class SnapshotError(LayerkitError):
    """A snapshot or solver state that cannot be read, written, or does not fit."""


class UsageError(LayerkitError, ValueError):
    """A call that cannot be carried out as it stands."""


class UnknownNameError(LayerkitError, KeyError):
    """A name that does not exist, with the nearest one that does."""

    def __init__(self, kind: str, name: object, known: Iterable[str]):
        names = list(known)
        listed = f"; there are: {', '.join(names)}" if 0 < len(names) <= 12 else ""
        super().__init__(f"there is no {kind} {name!r}{did_you_mean(str(name), names) or listed}")

    def __str__(self) -> str:  # KeyError would print the message in quotes
        return str(self.args[0])


@dataclass(frozen=True)
class Mark:
    """A place in a text: 1-based line and column; `file` is None for text without a file; line 0 is all of `file`."""

    file: str | None
    line: int
    column: int
    text: int | None = field(default=None, compare=False)
    """Of a value that is text and stands as it is on one line: how many characters on it begins; else None."""

    def into(self, offset: int | None) -> Mark:
        """The place of a character of the value, as far as that is known."""
        if offset is None or self.text is None:
            return self
        return Mark(self.file, self.line, self.column + self.text + offset)

    def __str__(self) -> str:
        place = f"{self.line}:{self.column}"
        if self.line == 0:  # an option on the command line, which has no lines
            return str(self.file)
        return f"{self.file}:{place}" if self.file else place


@dataclass(frozen=True)
class Use:
    """A block and the place that used it; an error inside a block names both."""

    block: str
    mark: Mark | None
    name: str = field(default="", compare=False)
    """What the use is called: the names of its layers begin with it and a slash."""

    def __str__(self) -> str:
        return f"in block {self.block!r}" + (f" used at {self.mark}" if self.mark else "")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a config: what, where in its structure, and where in its text."""

    message: str
    where: str = ""
    mark: Mark | None = None
    uses: tuple[Use, ...] = ()

    def into(self, offset: int | None) -> Problem:
        """The same, placed at a character of the value that it is placed at."""
        return self if self.mark is None else replace(self, mark=self.mark.into(offset))

    def __str__(self) -> str:
        place = f"{self.mark}: " if self.mark else ""
        where = f"{self.where}: " if self.where else ""
        uses = f" ({', '.join(map(str, self.uses))})" if self.uses else ""
        return f"{place}{where}{self.message}{uses}"


_BATCH = re.compile(r"(?<![\dx])\d+(?=x\d)")
"""The first length of each shape in a message, which is often all that two phases differ in."""


class ConfigError(LayerkitError, ValueError):
    """Everything that is wrong with a config, in the order of its text; one line each."""

    def __init__(self, problems: Iterable[Problem]):
        found: dict[object, Problem] = {}
        for problem in problems:  # what is wrong in two phases, or in every use of a block, is said once
            place = problem.mark or (problem.uses[0].block if problem.uses else problem)
            found.setdefault((place, _BATCH.sub("", problem.message)), problem)
        self.problems = sorted(found.values(), key=_place)
        super().__init__("\n".join(map(str, self.problems)))


class Problems:
    """Collects problems, so that all of a file's errors are reported in one go."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, message: str, where: str = "", mark: Mark | None = None, uses: tuple[Use, ...] = ()) -> None:
        """Note one problem and go on."""
        self.found.append(Problem(message, where, mark, uses))

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Note the problems of a ConfigError that is raised inside, and go on."""
        try:
            yield
        except ConfigError as error:
            self.found += error.problems

    def check(self) -> None:
        """Raise ConfigError if anything was found so far."""
        if self.found:
            raise ConfigError(self.found)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the known name nearest to `word`, or nothing."""
    name = nearest(word, known)
    return "" if name is None else f"; did you mean {name!r}?"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name that begins with `word`, is spelt nearly like it, or else resembles it; None where none does."""
    by_lower = {name.lower(): name for name in known}
    word = word.lower()
    found = sorted((name for name in by_lower if len(word) > 2 and name.startswith(word)), key=len)
    found += difflib.get_close_matches(word, by_lower, n=1, cutoff=0.75)
    found += difflib.get_close_matches(word, by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def _place(problem: Problem) -> tuple[str, int, int]:
    mark = problem.mark
    return ("", 0, 0) if mark is None else (mark.file or "", mark.line, mark.column)
