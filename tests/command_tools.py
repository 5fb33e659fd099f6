"""The command line as a process of its own: started, awaited, and seen in a terminal."""

import os
import pty
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import layerkit


class Child(subprocess.Popen):
    """A process that is killed rather than waited for when it hangs or its test fails."""

    def __enter__(self):
        self._guard = threading.Timer(60, self.kill)
        self._guard.start()
        return super().__enter__()

    def __exit__(self, kind, *rest):
        self._guard.cancel()
        if kind is not None:
            self.kill()
        super().__exit__(kind, *rest)


def start(folder: Path, *arguments: str, **options) -> Child:
    """A real child process."""
    environment = {**os.environ, "PYTHONPATH": str(Path(layerkit.__file__).parents[1]), **options.pop("env", {})}
    return Child([sys.executable, "-m", "layerkit", *arguments], cwd=folder, env=environment, text=True, **options)


def wait_for(stream, words: str) -> None:
    for line in stream:
        if words in line:
            return
    pytest.fail(f"the process ended before it said {words!r}")


def in_terminal(folder: Path, columns: int, *arguments: str, **environment: str) -> tuple[int, str]:
    """Exit status and everything that a command writes to a terminal of that width."""
    ours, theirs = pty.openpty()
    pieces: list[bytes] = []

    def read() -> None:
        try:
            while piece := os.read(ours, 4096):
                pieces.append(piece)
        except OSError:  # the other end was closed
            pass

    size = {"COLUMNS": str(columns), "LINES": "24", "TERM": "xterm-256color", **environment}
    with start(folder, *arguments, stdin=theirs, stdout=theirs, stderr=theirs, env=size) as child:
        os.close(theirs)
        reader = threading.Thread(target=read)
        reader.start()
        status = child.wait(timeout=30)
        reader.join(timeout=10)
    os.close(ours)
    return status, b"".join(pieces).decode()


def visible(written: str) -> list[str]:
    """The lines of text between all control sequences, whether or not they were overwritten later."""
    return re.split(r"[\r\n]+|\x1b\[\d*[AK]", re.sub(r"\x1b\[[\d;?]*[a-zA-JL-Z]", "", written))
