"""`layerkit doctor`: what this machine offers."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from layerkit.report.doctor import Findings, Threads

_LABEL = 10
_WIDTH = 80


def doctor(json: Annotated[bool, typer.Option("--json", help="Print it as one JSON object.")] = False) -> None:
    """Show versions, engines, threads and what is missing.

    Whatever is missing is told with the command that adds it; nothing is changed.

    Example: layerkit doctor --json
    """
    from dataclasses import asdict
    from json import dumps

    from layerkit.report.doctor import examine

    findings = examine()
    if json:
        typer.echo(dumps(asdict(findings), indent=2))
        return
    for label, text in _lines(findings):
        indent = " " * _LABEL
        typer.echo(
            textwrap.fill(
                text,
                _WIDTH,
                initial_indent=f"{label:{_LABEL}}",
                subsequent_indent=indent,
                break_long_words=False,
                break_on_hyphens=False,
            )
        )


def _lines(findings: Findings) -> list[tuple[str, str]]:
    """What stands on the left and the text beside it."""
    lines = [
        ("layerkit", findings.layerkit),
        ("Python", findings.python),
        ("numpy", findings.numpy),
        ("platform", findings.platform),
    ]
    engines = [
        f"{engine.name} {engine.version}{', which is taken where none is asked for' if engine.chosen else ''}"
        if engine.missing is None
        else f"no {engine.name}: {engine.missing}"
        for engine in findings.engines
    ]
    blas = [
        f"{blas.name} {blas.version or '(version unknown)'}, {_counted(blas.threads, 'thread')} now"
        for blas in findings.blas
    ]
    extras = [
        f"{extra.name}: {', '.join(f'{name} {version}' for name, version in extra.installed.items())}"
        if extra.command is None
        else f"{extra.name}: missing, for {extra.purpose}; add it with: {extra.command}"
        for extra in findings.extras
    ]
    lines += _beside("engines", engines)
    lines += [("threads", _decided(findings.threads))]
    lines += _beside("BLAS", blas or ["none whose threads can be counted or set"])
    return lines + _beside("extras", extras)


def _beside(label: str, texts: list[str]) -> list[tuple[str, str]]:
    """Several texts, the first with the label."""
    return [(label if i == 0 else "", text) for i, text in enumerate(texts)]


def _decided(threads: Threads) -> str:
    """How many threads will compute, and what decided it."""
    quota = "no quota" if threads.quota is None else f"a quota of {threads.quota:g} CPUs"
    there = f"{_counted(threads.cpus, 'CPU')} allowed, {_counted(threads.cores, 'core')}, {quota}"
    asked = "" if threads.variable is None else f"; {threads.variable} decides"
    return f"{threads.used} will be used ({there}{asked})"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
