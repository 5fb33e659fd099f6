"""Ctrl-C and SIGTERM while something is written: they end it, and what is half-written is removed."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def ending() -> Iterator[Callable[[], None]]:
    """While inside, the two signals are noted, and a function is given that raises KeyboardInterrupt for the one and
    SystemExit with status 143 for the other, to be called often. A second signal raises at once.

    Raised at once, the first would be lost, with a traceback printed, where it comes during a callback of a weak
    reference, of which h5py has many.
    """
    received: list[int] = []

    def check() -> None:
        if received:
            raise KeyboardInterrupt if received[0] == signal.SIGINT else SystemExit(128 + received[0])

    def end(number: int, frame: Any) -> None:
        received.append(number)
        if len(received) > 1:
            check()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield check
        check()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
