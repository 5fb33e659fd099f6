"""Mutations of files, drawn from a seeded generator: what bad disks, bad transfers and bad people do to them.

A module of such tests imports `bounded`, which then watches over each of them.
"""

from __future__ import annotations

import json
import random
import re
import resource
import signal
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import layerkit as lk

ROUNDS = 100
Read = Callable[[Path], Any]

ABSURD = [0, 1, 0x7F, 0xFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1]
NUMBERS = [b"-1", b"0", b"1e400", b"NaN", b"99999999999999999999", b"9" * 5000, b"0.5", b"null", b'"x"', b"[]", b"{}"]
WORDS = [
    b"",
    b"F64",
    b"BF16",
    b"F8_E4M3",
    b"<f8",
    b"|O",
    b">U9",
    b"<M8[s]",
    b"V8",
    b"\xff\xfe",
    b"\\ud800",
    b"\0",
    b"../x",
]
VALUES: list[Any] = [
    None, True, -1, 0, 0.5, 10**30, "", "x", "\n", [], {}, [[]], [-1], [2**40, 2**40], {"a": 1}, float("nan"),
    [[[[[[]]]]]], "A" * 500,
]  # fmt: skip


def mutated(content: bytes, draw: random.Random) -> bytes:
    """The content with one to three things done to it."""
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        content = draw.choice(MUTATIONS)(content, draw)
    return content


def _span(content: bytes, draw: random.Random, longest: int = 40) -> tuple[int, int]:
    start = draw.randrange(len(content) + 1)
    return start, min(len(content), start + draw.randrange(1, longest))


def _flip(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 5)) if content else 0):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _flip_early(content: bytes, draw: random.Random) -> bytes:
    return _flip(content[:200], draw) + content[200:]


def _truncate(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content) + 1)]


def _insert(content: bytes, draw: random.Random) -> bytes:
    start, _ = _span(content, draw)
    return content[:start] + draw.randbytes(draw.choice((1, 8, 1000))) + content[start:]


def _delete(content: bytes, draw: random.Random) -> bytes:
    start, end = _span(content, draw)
    return content[:start] + content[end:]


def _repeat(content: bytes, draw: random.Random) -> bytes:
    start, end = _span(content, draw, 400)
    return content[:end] + content[start:]


def _size(content: bytes, draw: random.Random) -> bytes:
    """A number that does not fit, where a size may stand."""
    code = draw.choice(("<H", "<I", ">I", "<Q"))
    width = struct.calcsize(code)
    start = draw.choice((0, 4, 8, 12, 16, draw.randrange(len(content) + 1)))
    value = draw.choice(ABSURD) % (1 << 8 * width)
    return content[:start] + struct.pack(code, value) + content[start + width :]


def _number(content: bytes, draw: random.Random) -> bytes:
    """Another number or something else in the place of one that is written out."""
    return _instead(rb"-?\d+(\.\d+)?", content, draw.choice(NUMBERS), draw)


def _word(content: bytes, draw: random.Random) -> bytes:
    """Another text in quotes: a name, a type."""
    return _instead(rb"""(?<=["'])[^"'\n]{1,30}(?=["'])""", content, draw.choice(WORDS), draw)


def _instead(pattern: bytes, content: bytes, new: bytes, draw: random.Random) -> bytes:
    found = list(re.finditer(pattern, content[:3000]))
    if not found:
        return content
    place = draw.choice(found)
    return content[: place.start()] + new + content[place.end() :]


MUTATIONS: list[Callable[[bytes, random.Random], bytes]] = [
    _flip, _flip, _flip_early, _truncate, _insert, _delete, _repeat, _size, _number, _word,
]  # fmt: skip


def header_edited(content: bytes, draw: random.Random) -> bytes:
    """A .safetensors file whose header says something else, in sound JSON and with its length right."""
    (length,) = struct.unpack("<Q", content[:8])
    header = edited(json.loads(content[8 : 8 + length]), draw)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + length :]


def edited(tree: Any, draw: random.Random) -> Any:
    """A copy of a tree of dicts and lists with one value removed, replaced or repeated, at any depth."""
    if not isinstance(tree, dict | list) or not tree or draw.random() < 0.1:
        return draw.choice(VALUES)
    copy: Any = tree.copy()
    key = draw.choice(list(tree) if isinstance(tree, dict) else range(len(tree)))
    kind = draw.random()
    if kind < 0.75:
        copy[key] = edited(tree[key], draw)
    elif kind < 0.9:
        del copy[key]
    elif isinstance(tree, dict):
        copy[f"{key}x"] = tree[key]
    else:
        copy.append(tree[key])
    return copy


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """Fail a test in which a reader hangs, or takes a gigabyte (Pillow lets an image have 89 million pixels)."""

    def hang(*_: Any) -> None:
        pytest.fail("a reader hangs")

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    handler = signal.signal(signal.SIGALRM, hang)
    signal.alarm(60)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
    unit = 1 if sys.platform == "darwin" else 1024
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit
    assert grown < 1e9, f"the readers took {grown / 1e6:.0f} MB"


def fuzz(path: Path, whole: bytes, readers: list[Read], change: Any = mutated, rounds: int = ROUNDS) -> None:
    """Give every reader the file `path` with changed contents, and some with its own."""
    draw = random.Random(zlib.crc32(path.name.encode()))
    path.write_bytes(whole)
    for read in readers:
        read(path)  # it can be read as it is
    refused = 0
    for number in range(rounds):
        path.write_bytes(change(whole, draw))
        for read in readers:
            try:
                read(path)
            except lk.LayerkitError as error:
                refused += 1
                if "\n" in str(error) or len(str(error)) > 2000:  # it may quote long names
                    pytest.fail(f"round {number}: this is no short sentence: {error}")
            except Exception as error:
                pytest.fail(f"round {number}: {type(error).__name__}: {error}")
    assert refused > rounds / 10  # else nothing was tried
