#!/usr/bin/env python3
"""layerkit against PyTorch on a CPU: `tools/README.md` says how it measures and what the columns mean.

    python tools/bench.py --nets mlp,lenet --quick
    python tools/bench.py data --rows mnist,jpeg_train
    python tools/bench.py loops --rows lstm_256,lstm_64

The last measures layerkit's loops beside its own layers; PyTorch is needed for the others only. It exits with status 2
for a wrong use, 1 where a side failed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT)]

from bench import machine, nets, session, table  # noqa: E402 (found through the path above)
from bench.data import rows  # noqa: E402
from bench.data import session as data_session  # noqa: E402
from bench.data import table as data_table  # noqa: E402
from bench.loops import cells  # noqa: E402
from bench.loops import session as loops_session  # noqa: E402
from bench.loops import table as loops_table  # noqa: E402
from bench.process import SideError, attempt  # noqa: E402
from bench.sides import QUICK, SIDES  # noqa: E402

ROUNDS, QUICK_ROUNDS = 11, 3
NEEDED = {
    "torch": ("torch", "PyTorch, which layerkit is measured against,"),
    "torchvision": ("torchvision", "torchvision, whose transforms layerkit's are measured against,"),
    "PIL": ("pillow", "Pillow, which both sides read images with,"),
}
"""Modules that are not layerkit's own: their packages, and what they are."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the tables."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parts = {"data": (_data, _data_parser), "loops": (_loops, _loops_parser)}
    measure, parser = parts.get(given[0] if given else "", (_nets, _parser))
    options = parser().parse_args(given if measure is _nets else given[1:])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that workers end and files go
    try:
        return measure(options)
    except ValueError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2


def _nets(options: argparse.Namespace) -> int:
    """Training and predicting. Raises ValueError for a wrong use."""
    chosen = _chosen("net", options.nets, nets.NAMES)
    sides = _chosen("side", options.sides, SIDES, QUICK if options.quick else SIDES)
    _expect("torch")
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    results: dict[str, Any] = {
        "machine": machine.describe(options.threads),
        "rounds": rounds,
        "peak": session.peaks(sides, options.threads, _say),
        "nets": {},
    }
    for name in chosen:
        try:
            results["nets"][name] = session.measure_net(name, sides, rounds, options.threads, _say)
        except SideError as error:
            results["nets"][name] = {"fault": str(error)}
        _keep(results, options)
    _show(table.markdown(results), options)
    return 1 if any(_failed(net) for net in results["nets"].values()) else 0


def _data(options: argparse.Namespace) -> int:
    """Reading data. Raises ValueError for a wrong use."""
    chosen = _chosen("row", options.rows, rows.ROWS)
    trained = _chosen("net", options.nets, data_session.NETS)
    _expect("torch", "torchvision", "PIL")
    count = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    results: dict[str, Any] = {
        "machine": machine.describe(options.threads),
        "rounds": count,
        "rows": {},
        "waiting": {},
    }
    with tempfile.TemporaryDirectory(prefix="layerkit-bench-") as made:
        for name in chosen:
            measured = attempt(data_session.measure_row, name, options.workers, count, Path(made), _say)
            results["rows"][name] = measured
            _keep(results, options)
        for name in trained:
            measured = attempt(data_session.measure_waiting, name, QUICK_ROUNDS, options.threads, Path(made), _say)
            results["waiting"][name] = measured
            _keep(results, options)
    _show(data_table.markdown(results), options)
    return 1 if any(found.get("fault") for what in ("rows", "waiting") for found in results[what].values()) else 0


def _loops(options: argparse.Namespace) -> int:
    """Recurrent cells as bodies. Raises ValueError for a wrong use."""
    chosen = _chosen("row", options.rows, cells.ROWS)
    count = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    results: dict[str, Any] = {"machine": machine.describe(options.threads), "rounds": count, "rows": {}}
    with tempfile.TemporaryDirectory(prefix="layerkit-bench-") as made:
        for name in chosen:
            results["rows"][name] = attempt(loops_session.measure_row, name, count, options.threads, Path(made), _say)
            _keep(results, options)
    _show(loops_table.markdown(results), options)
    return 1 if any(found["fault"] for found in results["rows"].values()) else 0


def _keep(results: Mapping[str, Any], options: argparse.Namespace) -> None:
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def _show(report: str, options: argparse.Namespace) -> None:
    if options.markdown:
        options.markdown.write_text(report, encoding="utf-8")
    print(report, end="")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench.py", description="Measure layerkit against PyTorch on a CPU.")
    parser.add_argument("--nets", help=f"nets, with commas: {','.join(nets.NAMES)} (default: all)")
    parser.add_argument("--sides", help=f"sides, with commas: {','.join(SIDES)} (default: all)")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds of {','.join(QUICK)}")
    return _with_common(parser)


def _data_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench.py data",
        description="Measure how fast layerkit and PyTorch's DataLoader read and transform images.",
    )
    parser.add_argument("--rows", help=f"what is read, with commas: {','.join(rows.ROWS)} (default: all)")
    parser.add_argument("--nets", help=f"nets to train, with commas: {','.join(data_session.NETS)} (default: all)")
    parser.add_argument("--workers", type=_numbers, default=[1, 2], help="workers, with commas (default: 1,2)")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds")
    return _with_common(parser)


def _loops_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench.py loops",
        description="Measure recurrent cells that are written out as bodies beside the built-in layers.",
    )
    parser.add_argument("--rows", help=f"cells, with commas: {','.join(cells.ROWS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds")
    return _with_common(parser)


def _with_common(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("--rounds", type=_positive, help=f"rounds (default: {ROUNDS})")
    parser.add_argument("--threads", type=_positive, default=os.cpu_count(), help="threads (default: all cores)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def _numbers(text: str) -> list[int]:
    return [_positive(part.strip()) for part in text.split(",")]


def _chosen(what: str, text: str | None, known: Iterable[str], default: Iterable[str] | None = None) -> list[str]:
    """The names in `text`, in the order in which they are known. Raises ValueError for one that is not."""
    known = list(known)
    default = known if default is None else default
    names = list(default) if text is None else [part.strip() for part in text.split(",") if part.strip()]
    for name in names:
        if name not in known:
            raise ValueError(f"there is no {what} {name!r}; there are: {', '.join(known)}")
    return [name for name in known if name in names]


def _expect(*modules: str) -> None:
    """Raises ValueError, in a sentence for the user, where one of these packages is not installed."""
    for module in modules:
        package, what = NEEDED[module]
        if importlib.util.find_spec(module) is None:
            raise ValueError(
                f"{what} is not installed; put the package {package!r} (of PyTorch a CPU build is enough) into the "
                "environment that runs this script"
            )


def _failed(net: Mapping[str, Any]) -> bool:
    return "fault" in net or any("fault" in found for found in net["sides"].values())


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
