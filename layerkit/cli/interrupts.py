"""Ctrl-C and SIGTERM while something runs or is written."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def caught(handler: Callable[[], object]) -> Iterator[list[int]]:
    """While inside, each of the two signals calls `handler`. Gives the list of the signals that came."""
    received: list[int] = []

    def take(number: int, frame: Any) -> None:
        received.append(number)
        handler()

    before = {number: signal.signal(number, take) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


@contextmanager
def ending() -> Iterator[Callable[[], None]]:
    """While inside, the two signals are noted, and a function is given that raises KeyboardInterrupt for the one and
    SystemExit with status 143 for the other, to be called often. A second signal raises at once.

    Raised at once, the first would be lost, with a traceback printed, where it comes during a callback of a weak
    reference, of which h5py has many.
    """

    def check() -> None:
        if received:
            raise KeyboardInterrupt if received[0] == signal.SIGINT else SystemExit(128 + received[0])

    def end() -> None:
        if len(received) > 1:
            check()

    with caught(end) as received:
        yield check
        check()
