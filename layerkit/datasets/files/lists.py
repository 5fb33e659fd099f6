"""Text files that list the files of samples: plain ones, ones with labels, and Caffe's window files."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from layerkit.blob import Array
from layerkit.errors import DataError

_MOST = 2**31 - 1


class Listed(NamedTuple):
    """A file that a list names, with its label (0 in a list without labels)."""

    path: str
    label: int
    place: str
    """The list and the line, for messages."""
    folder: str = ""
    """The folder that the list lies in."""


class Windows(NamedTuple):
    """What a window file says; a row of a table is one window."""

    images: list[Listed]
    foreground: Array
    """(F, 6) int64: image, label, x1, y1, x2, y2 in pixels, the last ones included."""
    background: Array
    """(B, 6), as `foreground`, with label 0."""


def lines(source: str) -> Iterator[tuple[str, str]]:
    """The lines of a text file that are not blank, stripped, each with its place. Raises DataError."""
    try:
        with open(source, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield line.strip(), f"'{source}', line {number}"
    except FileNotFoundError:
        raise DataError(f"there is no file {source!r}") from None
    except OSError as error:
        raise DataError(f"'{source}' cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise DataError(f"'{source}' is no list: it is not text in UTF-8") from None


def read_files(source: str) -> list[Listed]:
    """One path a line. Raises DataError where there is none."""
    return _some(source, [Listed(line, 0, place) for line, place in lines(source)])


def read_labelled(source: str, root: str = "") -> list[Listed]:
    """One path and, after the last space, a whole number a line; `root` is put in front of each path.

    Raises DataError, naming the line.
    """
    return list(labelled(source, root))


def labelled(source: str, root: str = "") -> Iterator[Listed]:
    """The lines of `read_labelled`, as they are asked for."""
    place = ""
    for line, place in lines(source):
        path, _, label = line.rpartition(" ")
        if not path:
            raise DataError(f"{place}: must be a path, a space and a label, not {_short(line)}")
        yield Listed(root + path.strip(), _whole(label, "the label", place), place, os.path.dirname(source))
    if not place:
        raise DataError(f"'{source}' lists nothing")


def below(listed: Listed, root: str) -> Listed:
    """The file in the folder `root`. Raises DataError for a path that leads out of it by what it says."""
    path = os.path.normpath(listed.path)
    if os.path.isabs(path) or path.split(os.sep)[0] == os.pardir:
        hint = "write all paths from a folder that holds the images, and give that as root"
        raise DataError(f"{listed.place}: {listed.path!r} does not lie in the folder {root!r}; {hint}")
    return listed._replace(path=os.path.join(root, listed.path))


def expect_inside(listed: Listed, root: str) -> None:
    """Raise DataError, naming the line, for a file that lies outside of the folder `root`, as by a link."""
    try:
        inside = Path(listed.path).resolve().is_relative_to(Path(root).resolve())
    except (OSError, RuntimeError, ValueError):  # a loop of links, or what is no path at all
        inside = False
    if not inside:
        raise DataError(f"{listed.place}: {listed.path!r} leads out of the folder {root!r}")


def read_names(source: str) -> list[str]:
    """Names of classes, one a line, each once. Raises DataError."""
    names: dict[str, str] = {}
    for name, place in lines(source):
        if name in names:
            raise DataError(f"{place}: the class {_short(name)} is named a second time")
        names[name] = place
    if not names:
        raise DataError(f"'{source}' lists nothing")
    return list(names)


def read_windows(source: str, root: str, fg_threshold: float, bg_threshold: float) -> Windows:
    """A window file: for each image `# number`, its path, channels, height, width, the number of windows, a line each.

    A window is `label overlap x1 y1 x2 y2`. It is foreground from `fg_threshold` on, and otherwise background below
    `bg_threshold`. Raises DataError, naming the line.
    """
    images: list[Listed] = []
    windows: tuple[list[list[int]], list[list[int]]] = ([], [])
    reader = lines(source)
    for line, place in reader:
        if line.split()[0] != "#":
            raise DataError(f"{place}: an image must begin with '# NUMBER', not {_short(line)}")
        path, place = _next(reader, place, "an image's path")
        images.append(Listed(root + path, 0, place))
        sizes = []
        for what in ("channels", "height", "width", "number of windows"):
            line, place = _next(reader, place, f"the {what}")
            sizes.append(_whole(line, f"the {what}", place))
        for _ in range(sizes[-1]):
            line, place = _next(reader, place, f"one of {sizes[-1]} windows")
            window, overlap = _window(line, place)
            if overlap >= fg_threshold:
                if window[0] <= 0:
                    raise DataError(f"{place}: a foreground window's label must be above 0, not {window[0]}")
                windows[1].append([len(images) - 1, *window])
            elif overlap < bg_threshold:
                windows[0].append([len(images) - 1, 0, *window[1:]])
    _some(source, images)
    background, foreground = (np.array(each, np.int64).reshape(-1, 6) for each in windows)
    return Windows(images, foreground, background)


def expect_files(listed: Sequence[Listed]) -> None:
    """Raise DataError, which counts the files that are not there, and names the first three."""
    missing = [each for each in listed if not os.path.isfile(each.path)]
    if not missing:
        return
    others = ""
    if len(missing) > 1:
        named = " and ".join(repr(each.path) for each in missing[1:3])
        others = f"; of {len(listed):,} files {len(missing):,} are missing, the next being {named}"
    raise DataError(f"{absent(missing[0])}{others}")


def absent(listed: Listed) -> str:
    """The sentence that a file is not there; and that it would be if its path were one from the list's folder."""
    hint = ""
    if listed.folder and not os.path.isabs(listed.path) and os.path.isfile(os.path.join(listed.folder, listed.path)):
        start = "the current directory, or from 'root' (in ImageData 'root_folder')"
        hint = f"; there is one from the list's own folder, but paths start from {start}"
    return f"{listed.place}: there is no file {listed.path!r}{hint}"


def _some(source: str, found: list[Listed]) -> list[Listed]:
    if not found:
        raise DataError(f"'{source}' lists nothing")
    return found


def _next(reader: Iterator[tuple[str, str]], place: str, what: str) -> tuple[str, str]:
    found = next(reader, None)
    if found is None:
        raise DataError(f"{place}: the file ends where {what} should follow")
    return found


def _whole(text: str, what: str, place: str) -> int:
    try:
        number = int(text)
    except ValueError:
        raise DataError(f"{place}: {what} must be a whole number, not {_short(text)}") from None
    if abs(number) > _MOST:
        raise DataError(f"{place}: {what} must lie within -{_MOST} to {_MOST}, not {_short(text)}")
    return number


def _short(text: str) -> str:
    """A text in quotes; of a long one, the beginning."""
    return repr(text if len(text) <= 80 else f"{text[:77]}...")


def _window(line: str, place: str) -> tuple[list[int], float]:
    """Label and corners, and the overlap."""
    words = line.split()
    try:
        label, overlap, *corners = int(words[0]), float(words[1]), *map(int, words[2:])
    except (ValueError, IndexError):
        label, corners, overlap = 0, [], math.nan
    if len(corners) != 4 or not math.isfinite(overlap):
        raise DataError(f"{place}: a window must be 'label overlap x1 y1 x2 y2', not {_short(line)}")
    if max(map(abs, (label, *corners))) > _MOST:
        raise DataError(f"{place}: the numbers of a window must lie within -{_MOST} to {_MOST}: {_short(line)}")
    if corners[2] < corners[0] or corners[3] < corners[1]:
        raise DataError(f"{place}: the window is empty, for x2 or y2 is less than x1 or y1: {_short(line)}")
    return [label, *corners], overlap
