"""From a net's name to its results: prepare, compare, measure, and measure the memory of fresh processes."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import job, nets, parity, rounds, work
from bench.process import Process, SideError
from bench.sides import REFERENCE, SIDES, WITNESS, Side

PEAK_REPEATS = 20
Say = Callable[[str], None]


def measure_net(name: str, sides: Sequence[str], count: int, threads: int, say: Say) -> dict[str, Any]:
    """All results of one net. A side that fails has a `fault`, and no times."""
    graph = nets.train_graph(name)
    results: dict[str, Any] = {
        "batch": nets.batch(graph),
        "parameters": nets.parameters(graph),
        "train_flops": work.train_flops(graph),
        "predict_flops": work.predict_flops(graph),
    }
    with tempfile.TemporaryDirectory(prefix="layerkit-bench-") as made:
        folder = Path(made)
        say(f"{name}: the float64 reference, and torch's")
        job.write(folder, name)
        results["reference"] = _reference(folder, threads)
        results["sides"] = {side: {} for side in sides}
        with ExitStack() as stack:
            workers: dict[str, Process] = {}
            for side in sides:
                say(f"{name}: {SIDES[side].label}: build, compare, warm up")
                worker = stack.enter_context(Process(SIDES[side], folder, threads))
                found = results["sides"][side]
                try:
                    found["parity"] = _compare(worker, folder)
                    worker.ask("works")
                    rounds.warm_up(worker)
                    workers[side] = worker
                except SideError as error:
                    found["fault"] = str(error)
            say(f"{name}: {count} rounds of {len(workers)} sides")
            measured = rounds.measure(workers, count)
            results["foreign"] = measured["foreign"]
            for side, worker in workers.items():
                found = results["sides"][side]
                if math.isfinite(worker.ask("loss")["loss"]):
                    found["turns"] = measured["turns"][side]
                else:
                    found["fault"] = "its loss is no longer finite after the last round"
        for side in workers:
            say(f"{name}: {SIDES[side].label}: memory and set-up")
            shutil.rmtree(folder / f"{side}-compiled", ignore_errors=True)  # the set-up is that of the first run
            with Process(SIDES[side], folder, threads) as worker:
                results["sides"][side].update(worker.ask("fresh"))
    return results


def _reference(folder: Path, threads: int) -> dict[str, Any]:
    """Compute the float64 results and compare them with torch's. Raises SideError where they differ."""
    for side in (REFERENCE, WITNESS):
        with Process(side, folder, threads) as worker:
            worker.ask("build")
            worker.ask("outputs", file=f"{side.name}.npz")
    found = parity.compare(folder / f"{WITNESS.name}.npz", folder / f"{REFERENCE.name}.npz")
    (folder / f"{WITNESS.name}.npz").unlink()
    fault = parity.fault(found, parity.FLOAT64)
    if fault:
        raise SideError(f"torch in float64 does not confirm the reference: {fault}")
    return found


def _compare(worker: Process, folder: Path) -> dict[str, Any]:
    """Build a side and compare it with the reference. Raises SideError where it differs by too much."""
    file = f"{worker.side.name}.npz"
    worker.ask("build")
    worker.ask("outputs", file=file)
    found = parity.compare(folder / file, folder / f"{REFERENCE.name}.npz")
    (folder / file).unlink()
    fault = parity.fault(found, parity.FLOAT32)
    if fault:
        raise SideError(fault)
    return found


def peaks(sides: Iterable[str], threads: int, say: Say) -> dict[str, float]:
    """The best rate of a matrix product of every library that the sides call, in GFLOP/s, by side."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="layerkit-bench-") as made:
        folder = Path(made)
        job.write(folder, nets.NAMES[0])
        for side in _one_of_each(sides):
            say(f"the machine's peak: {side.label}")
            with Process(side, folder, threads) as worker:
                try:
                    worker.ask("build")
                    found[side.name] = worker.ask("peak", repeats=PEAK_REPEATS)["gflops"]
                except SideError:
                    continue  # the nets will say why
    return found


def _one_of_each(names: Iterable[str]) -> list[Side]:
    """The layerkit sides, each an engine, and one of torch's: a product is the same in all of its modes."""
    chosen = [SIDES[name] for name in names]
    return [
        *(side for side in chosen if side.framework == "layerkit"),
        *[side for side in chosen if side.framework == "torch"][:1],
    ]
