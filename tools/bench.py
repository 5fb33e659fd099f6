#!/usr/bin/env python3
"""layerkit against PyTorch on a CPU: `tools/README.md` says how it measures and what the columns mean.

    python tools/bench.py --nets mlp,lenet --quick

PyTorch is needed for this script only. It exits with status 2 for a wrong use, 1 where a side failed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT)]

from bench import machine, nets, session, table  # noqa: E402 (found through the path above)
from bench.process import SideError  # noqa: E402
from bench.sides import QUICK, SIDES  # noqa: E402

ROUNDS, QUICK_ROUNDS = 11, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the tables."""
    options = _parser().parse_args(arguments)
    try:
        chosen = _chosen("net", options.nets, nets.NAMES)
        sides = _chosen("side", options.sides, SIDES, QUICK if options.quick else SIDES)
        _expect_torch()
    except ValueError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that workers end and files go
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
        if options.json:
            options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    report = table.markdown(results)
    if options.markdown:
        options.markdown.write_text(report, encoding="utf-8")
    print(report, end="")
    return 1 if any(_failed(net) for net in results["nets"].values()) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench.py", description="Measure layerkit against PyTorch on a CPU.")
    parser.add_argument("--nets", help=f"nets, with commas: {','.join(nets.NAMES)} (default: all)")
    parser.add_argument("--sides", help=f"sides, with commas: {','.join(SIDES)} (default: all)")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds of {','.join(QUICK)}")
    parser.add_argument("--rounds", type=_positive, help=f"rounds (default: {ROUNDS})")
    parser.add_argument("--threads", type=_positive, default=os.cpu_count(), help="threads (default: all cores)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def _chosen(what: str, text: str | None, known: Iterable[str], default: Iterable[str] | None = None) -> list[str]:
    """The names in `text`, in the order in which they are known. Raises ValueError for one that is not."""
    known = list(known)
    names = list(known if default is None else default) if text is None else [part.strip() for part in text.split(",")]
    for name in names:
        if name not in known:
            raise ValueError(f"there is no {what} {name!r}; there are: {', '.join(known)}")
    return [name for name in known if name in names]


def _expect_torch() -> None:
    """Raises ValueError, in a sentence for the user, where PyTorch is not installed."""
    if importlib.util.find_spec("torch") is None:
        raise ValueError(
            "PyTorch, which layerkit is measured against, is not installed; put the package 'torch' (a CPU build "
            "is enough) into the environment that runs this script"
        )


def _failed(net: Mapping[str, Any]) -> bool:
    return "fault" in net or any("fault" in found for found in net["sides"].values())


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
