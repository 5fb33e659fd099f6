"""From measured seconds to medians, ratios and Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.machine import VERSIONS
from bench.rounds import WORKS
from bench.sides import OURS, SIDES

NONE = "-"
Results = Mapping[str, Any]


def summarise(net: Results) -> dict[str, dict[str, dict[str, float]]]:
    """Median and minimum in ms, by side and work, of every side that was timed."""
    return {
        side: {
            work: {"median": 1000 * statistics.median(turns), "min": 1000 * min(turns)}
            for work, turns in found["turns"].items()
        }
        for side, found in net["sides"].items()
        if "turns" in found
    }


def best_torch(times: Mapping[str, Any], work: str) -> str | None:
    """The torch mode with the least median; None if none was timed."""
    modes = [side for side in times if SIDES[side].framework == "torch"]
    return min(modes, key=lambda side: times[side][work]["median"], default=None)


def ratio(times: Mapping[str, Any], work: str, other: str | None, ours: str = OURS) -> float | None:
    """How many times as long the other side takes; None where either was not timed."""
    if other not in times or ours not in times:
        return None
    return float(times[other][work]["median"] / times[ours][work]["median"])


def rate(net: Results, median_ms: float, work: str) -> float:
    """GFLOP/s of a step of training or of predicting a batch."""
    flops = {"train": net["train_flops"], "predict": net["predict_flops"]}
    flops["predict_one"] = net["predict_flops"] / net["batch"]
    return float(flops[work] / median_ms / 1e6)


def markdown(results: Results) -> str:
    """The whole report."""
    parts = [_head(results), _lead(results, "train", "Training, ms a step")]
    parts += [
        _lead(results, "predict_one", "Predicting one sample, ms"),
        _lead(results, "predict", "Predicting a batch, ms"),
        _memory(results),
        _every(results),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def head(machine: Results, how: str) -> str:
    """What was measured on, with what, and how."""
    versions = ", ".join(f"{name} {machine[name]}" for name in VERSIONS if machine.get(name))
    return (
        f"{machine['processor']}, {machine['threads']} threads of {machine['cores']} cores, {machine['system']}; "
        f"Python {machine['python']}, {versions}; {how}"
    )


def _head(results: Results) -> str:
    rates = ", ".join(f"{SIDES[side].label} {found:.0f}" for side, found in results["peak"].items())
    peak = f"Peak of a float32 matrix product, GFLOP/s: {rates or 'not measured'}."
    return head(results["machine"], f"{results['rounds']} rounds, medians. {peak}")


def _lead(results: Results, work: str, title: str) -> str:
    """layerkit against torch, a net a line."""
    peak = max(results["peak"].values(), default=None)
    rows = []
    for name, net in results["nets"].items():
        if "fault" in net:
            continue
        times = summarise(net)
        best = best_torch(times, work)
        ours = times.get(OURS, {}).get(work, {}).get("median")
        speed = None if ours is None else rate(net, ours, work)
        rows.append(
            [
                f"{name} ({1 if work == 'predict_one' else net['batch']})",
                *(_ms(times, side, work) for side in (OURS, "numpy", "eager")),
                NONE if best is None else f"{_ms(times, best, work)} ({SIDES[best].label})",
                _times(ratio(times, work, "eager")),
                _times(ratio(times, work, best)),
                NONE if speed is None else f"{speed:.0f}",
                NONE if speed is None or peak is None else f"{speed / peak:.0%}",
            ]
        )
    modes = len({side for net in results["nets"].values() for side in net.get("sides", ()) if _is_torch(side)})
    heads = [
        "net (batch)", "layerkit onednn", "layerkit numpy", "torch eager", f"torch, best of {modes} modes",
        "lead over eager", "lead over best", "GFLOP/s", "of peak",
    ]  # fmt: skip
    return f"**{title}**\n\n{table(heads, rows)}"


def _memory(results: Results) -> str:
    """Peak memory, set-up and import of fresh processes."""
    shown = (OURS, "numpy", "eager", "compile-fused-last")
    heads = ["net"]
    for what in ("memory, MB", "set-up, s", "import, s"):
        heads += [f"{what}: {_short(side)}" for side in shown]
    rows = []
    for name, net in results["nets"].items():
        sides = net.get("sides", {})
        cells = [
            _number(sides.get(side, {}).get(key), digits)
            for key, digits in (("peak_mb", 0), ("setup_s", 2), ("import_s", 2))
            for side in shown
        ]
        if cells.count(NONE) < len(cells):
            rows.append([name, *cells])
    return f"**Memory and set-up of a process that trains**\n\n{table(heads, rows)}" if rows else ""


def _every(results: Results) -> str:
    """Every side of every net, with minima and differences from float64."""
    rows = []
    for name, net in results["nets"].items():
        if "fault" in net:
            rows.append([name, net["fault"], *[NONE] * 6])
            continue
        times = summarise(net)
        for side, found in net["sides"].items():
            differs = found.get("parity")
            rows.append(
                [
                    name,
                    SIDES[side].label + (f": {found['fault']}" if "fault" in found else ""),
                    *(_both(times, side, work) for work in WORKS),
                    _times(ratio(times, "train", "eager", side)),
                    NONE if differs is None else f"{differs['loss']:.0e}, {differs['gradient']:.0e}",
                    foreign(net["foreign"]) if "turns" in found else NONE,
                ]
            )
    heads = [
        "net", "side", "train, ms (min)", "predict a batch (min)", "predict one (min)", "train: lead over eager",
        "loss, gradient off by", "cores others used: median, most",
    ]  # fmt: skip
    return f"**Every side**\n\n{table(heads, rows)}"


def _is_torch(side: str) -> bool:
    return SIDES[side].framework == "torch"


def _short(side: str) -> str:
    return SIDES[side].label.removeprefix("layerkit ").split(",")[0]


def _ms(times: Mapping[str, Any], side: str, work: str) -> str:
    return digits(times[side][work]["median"]) if side in times else NONE


def _both(times: Mapping[str, Any], side: str, work: str) -> str:
    return f"{_ms(times, side, work)} ({digits(times[side][work]['min'])})" if side in times else NONE


def digits(value: float) -> str:
    """Three significant digits, without an exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}"


def _number(value: float | None, digits: int) -> str:
    return NONE if value is None else f"{value:.{digits}f}"


def _times(value: float | None) -> str:
    return NONE if value is None else f"{value:.2f}x"


def in_rounds(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """How many times as long another side takes in the same round: the median round, the least and the most."""
    found = [their / our for our, their in zip(ours, theirs, strict=True)]
    return f"{statistics.median(found):.2f}x ({min(found):.2f}-{max(found):.2f})"


def foreign(load: Iterable[float | None]) -> str:
    """How many cores others used, in the median round and in the worst."""
    known = [each for each in load if each is not None]
    return f"{statistics.median(known):.2f}, {max(known):.2f}" if known else NONE


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; all columns but the first stand to the right."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
