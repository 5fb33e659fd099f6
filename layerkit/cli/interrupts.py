"""Ctrl-C and SIGTERM while something is written: they end it at once, and what is half-written is removed."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def ending() -> Iterator[Callable[[], None]]:
    """While inside, the two signals raise KeyboardInterrupt, and SystemExit with status 143.

    Where the signal comes while Python runs a callback of its own, as h5py's are, that is lost; so a function is given
    that raises it again, to be called now and then.
    """
    received: list[int] = []

    def check() -> None:
        if received:
            raise KeyboardInterrupt if received[0] == signal.SIGINT else SystemExit(128 + received[0])

    def end(number: int, frame: Any) -> None:
        received.append(number)
        check()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield check
        check()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
