"""What `layerkit data fetch` shows: a bar a file in a terminal, a line a file in a pipe; on standard error."""

from __future__ import annotations

import sys

from rich.progress import BarColumn, DownloadColumn, ProgressColumn, TaskID, TextColumn, TimeRemainingColumn

from layerkit.cli.live import Live


class Downloads(Live):
    """Is told how far each file is: a `Progress` of `datasets.fetch`."""

    transient = False

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self._tasks: dict[str, TaskID] = {}
        self._begun: set[str] = set()

    def _columns(self) -> tuple[ProgressColumn, ...]:
        name = TextColumn("{task.description}", markup=False)
        return name, BarColumn(bar_width=None), DownloadColumn(), TimeRemainingColumn(compact=True)

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
