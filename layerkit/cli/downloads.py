"""What `layerkit data fetch` shows: a bar a file in a terminal, a line a file in a pipe; on standard error."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


class Downloads:
    """Is told how far each file is: a `Progress` of `datasets.fetch`."""

    def __init__(self) -> None:
        self._console = Console(file=sys.stderr, highlight=False, soft_wrap=True)
        self._shown: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._begun: set[str] = set()

    def __enter__(self) -> Self:
        if self._console.is_interactive:
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=None),
                DownloadColumn(),
                TimeRemainingColumn(compact=True),
            )
            self._shown = Progress(*columns, console=self._console, refresh_per_second=4, expand=True)
            self._shown.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown is not None:
            self._shown.stop()

    def __call__(self, name: str, done: int, total: int | None) -> None:
        """A file is this far, in bytes; `total` is None where nobody knows it."""
        if self._shown is not None:
            if name not in self._tasks:
                self._tasks[name] = self._shown.add_task(name, total=total)
            self._shown.update(self._tasks[name], completed=done, total=total)
        elif name not in self._begun:
            self._begun.add(name)
            size = "" if total is None else f" ({total / 1e6:.1f} MB)"
            print(f"{name}{size}", file=sys.stderr, flush=True)
