"""`layerkit doctor`: what it finds, how it prints it, and the advice that training gives."""

import dataclasses
import importlib.metadata
import json
import platform
import re
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import layerkit
from layerkit import cores, engines, threads
from layerkit.report import doctor

WHY = "oneDNN's library is not installed; pip install onednn-cpu-gomp adds it, and nothing else has to be changed"
REAL_ADVICE = doctor.advice
"""As it is without the `command` fixture, which silences it."""


@pytest.fixture
def bare(monkeypatch):
    """A machine with nothing but numpy: two CPUs on one core, a quota, no extra, no BLAS that is known."""
    monkeypatch.setattr(engines, "names", lambda: ["onednn", "numpy"])
    monkeypatch.setattr(engines, "missing", lambda name: WHY if name == "onednn" else None)
    monkeypatch.setattr(engines, "version", lambda name: {"numpy": "2.9"}[name])
    monkeypatch.setattr(cores, "find", lambda: cores.Found(2, 1.5, 1))
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(threads, "blas_libraries", list)
    monkeypatch.setattr(doctor, "EXTRAS", {"fast": ("a-distribution-that-is-nowhere", "numpy")})


def sections(printed: str) -> dict[str, str]:
    """Label -> its text, lines joined by a bar."""
    found: dict[str, str] = {}
    label = ""
    for line in printed.splitlines():
        label = line[:10].strip() or label
        found[label] = f"{found[label]}|{line[10:]}" if label in found else line[10:]
    return found


def test_it_prints_what_there_is(command):
    answer = command("doctor")
    assert (answer.status, answer.err) == (0, "")
    found = sections(answer.out)
    assert list(found) == ["layerkit", "Python", "numpy", "platform", "engines", "threads", "BLAS", "extras"]
    assert found["layerkit"] == layerkit.__version__
    assert found["Python"].startswith(f"{platform.python_version()} (")
    assert found["numpy"] == np.__version__
    assert f"numpy {engines.version('numpy')}" in found["engines"]
    assert found["threads"].startswith("1 will be used (")
    assert "OMP_NUM_THREADS decides" in found["threads"].replace("|", " ")


def test_it_prints_what_is_missing(command, bare):
    answer = command("doctor")
    assert (answer.status, answer.err) == (0, "")
    found = sections(answer.out)
    assert found["engines"].replace("|", " ") == (f"no onednn: {WHY} numpy 2.9, which is taken where none is asked for")
    assert found["threads"] == "1 will be used (2 CPUs allowed, 1 core, a quota of 1.5 CPUs)"
    assert found["BLAS"] == "none whose threads can be counted or set"
    assert found["extras"].replace("|", " ") == (
        "fast: missing, for several times the speed, by the engine onednn; "
        "add it with: pip install a-distribution-that-is-nowhere"
    )
    assert max(map(len, answer.out.splitlines())) <= 80


def test_json_holds_the_same(command, bare):
    answer = command("doctor", "--json")
    assert (answer.status, answer.err) == (0, "")
    assert json.loads(answer.out) == dataclasses.asdict(doctor.examine())
    found = json.loads(answer.out)
    assert found["engines"][0] == {"name": "onednn", "version": None, "missing": WHY, "chosen": False}
    assert found["threads"] == {"cpus": 2, "quota": 1.5, "cores": 1, "variable": None, "used": 1}
    assert found["extras"] == [
        {
            "name": "fast",
            "purpose": "several times the speed, by the engine onednn",
            "installed": {"numpy": np.__version__},
            "missing": ["a-distribution-that-is-nowhere"],
            "command": "pip install a-distribution-that-is-nowhere",
        }
    ]


def test_a_blas_is_named_with_its_threads(command, monkeypatch):
    class Library:
        internal_api, version, num_threads = "openblas", "0.3.99", 1

    class Nameless(Library):
        internal_api, version, num_threads = "blis", None, 4

    monkeypatch.setattr(threads, "blas_libraries", lambda: [Library(), Nameless()])
    lines = sections(command("doctor").out)["BLAS"].split("|")
    assert lines == ["openblas 0.3.99, 1 thread now", "blis (version unknown), 4 threads now"]


def test_an_extra_that_is_there_needs_no_command(monkeypatch):
    monkeypatch.setattr(doctor, "EXTRAS", {"fast": ("numpy",)})
    assert doctor.examine().extras == [
        doctor.Extra("fast", doctor.PURPOSES["fast"], {"numpy": np.__version__}, [], None)
    ]


def test_the_extras_are_those_of_the_package():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {
        name: tuple(
            re.match(r"[\w.-]+", requirement)[0]
            for requirement in requirements
            if not requirement.startswith("layerkit[")
        )
        for name, requirements in project["optional-dependencies"].items()
        if name not in ("test", "dev") and requirements
    }
    assert declared.items() <= doctor.EXTRAS.items()
    assert set(doctor.EXTRAS) <= set(project["optional-dependencies"])
    assert list(doctor.EXTRAS) == list(doctor.PURPOSES)


# -- the advice that training gives --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("system", "machine", "missing", "advice"),
    [
        ("linux", "x86_64", WHY, f"training would be faster with the engine onednn: {WHY}"),
        ("linux", "x86_64", None, None),
        ("linux", "aarch64", WHY, None),  # no wheel is there to be installed
        ("darwin", "x86_64", WHY, None),
    ],
)
def test_advice_is_given_where_it_can_be_followed(monkeypatch, system, machine, missing, advice):
    monkeypatch.setattr(engines, "missing", lambda name: {"onednn": missing}[name])
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert doctor.advice() == advice


def test_the_advice_is_one_line_on_standard_error(command, bare, monkeypatch):
    monkeypatch.setattr(doctor, "advice", REAL_ADVICE)
    monkeypatch.setattr(doctor, "_has_wheel", lambda: True)
    answer = command("train", "configs/mlp.yaml", "--set", "solver.max_iter=1")
    assert answer.err == f"note: training would be faster with the engine onednn: {WHY}\n"
    assert "pip install onednn-cpu-gomp" in answer.err


def test_a_distribution_is_looked_for_by_name(monkeypatch):
    def version(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    assert doctor._version("numpy") == np.__version__
    monkeypatch.setattr(importlib.metadata, "version", version)
    assert doctor._version("numpy") is None
