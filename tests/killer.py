"""Runs `layerkit train` in a folder again and again and kills it, until that was often enough; then to its end.

    python killer.py FOLDER KILLS SEED

One process imports layerkit once and forks a child for each life, so that 50 lives take seconds. A child trains
FOLDER/run.yaml, a run named `run`, as the command line does, with --resume once there is a snapshot. It gets SIGKILL
at a random moment: some children while they set up or restore, most after they have recorded events for a while.
Prints one JSON object: how many lives and kills there were, how many kills came before a life's first event, and how
many left a snapshot half done.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import layerkit as lk
from layerkit import snapshot
from layerkit.cli import progress  # noqa: F401 (a child then need not)
from layerkit.cli.main import main
from layerkit.report import doctor  # noqa: F401

RUN = Path("runs/run")
LOG = RUN / snapshot.EVENTS


def live(*arguments: str) -> int:
    """Fork a child that runs `layerkit train`; its process id."""
    child = os.fork()
    if child:
        return child
    sys.argv = ["layerkit", "train", "run.yaml", "--quiet", *arguments]
    status = 1
    try:
        main()
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    os._exit(status)


def wait(child: int, flags: int = 0) -> int | None:
    """The exit status of a child, -N if signal N ended it; with WNOHANG None while it runs."""
    found, status = os.waitpid(child, flags)
    return os.waitstatus_to_exitcode(status) if found else None


def recorded() -> int:
    return LOG.stat().st_size if LOG.exists() else 0


def kill(child: int, draw: random.Random) -> int:
    """Kill a child at a random moment, unless it ends before; its exit status."""
    early, begun = draw.random() < 0.2, recorded()
    more, pause = draw.randrange(6000), draw.uniform(0, 0.1 if early else 0.005)
    while not early and begun <= recorded() <= begun + more:  # a run that is resumed may first cut its record back
        status = wait(child, os.WNOHANG)
        if status is not None:
            return status
        time.sleep(0.0005)
    time.sleep(pause)
    os.kill(child, signal.SIGKILL)
    return wait(child)


def half_done() -> bool:
    """Whether a snapshot was being written: a temporary file, or weights without their state."""
    names = {path.name for path in RUN.glob("*iter_*")}
    states = {name for name in names if name.endswith(snapshot.STATE_SUFFIX)}
    return any(name.endswith(".tmp") for name in names) or 2 * len(states) != len(names)


def lives(kills: int, draw: random.Random) -> dict[str, int]:
    """Kill the run `kills` times, then let it end. Exits where a life ends in another way."""
    found = {"lives": 0, "kills": 0, "early": 0, "half_done": 0}
    while True:
        begun, resumable = recorded(), snapshot.newest_state(RUN) is not None
        child = live("--resume" if resumable else "--force")
        found["lives"] += 1
        status = wait(child) if found["kills"] == kills else kill(child, draw)
        if status == 0:
            return found
        if status != -signal.SIGKILL:
            sys.exit(f"life {found['lives']} ended with {status}")
        found["kills"] += 1
        found["early"] += recorded() == begun
        found["half_done"] += half_done()


if __name__ == "__main__":
    folder, kills, seed = sys.argv[1:]
    os.chdir(folder)
    lk.Solver("run.yaml", engine="numpy")  # imports what such a run needs, and starts no thread, which a fork loses
    print(json.dumps(lives(int(kills), random.Random(int(seed)))))
