"""The event log: what it promises, cut-off lines, rewinding, and files that cannot be written."""

from __future__ import annotations

import json
import math
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from solver_tools import digits

import layerkit as lk
from layerkit import events
from layerkit.events import EventLog


def test_the_event_log_holds_what_it_promises(tmp_path: Path) -> None:
    solver = digits(tmp_path, max_iter=4, display=2, test_interval=4, snapshot=4)
    heard: list[Any] = []
    solver.events.listen(heard.append)
    solver.solve()
    log = events.read(tmp_path / "events.jsonl")
    assert log == json.loads(json.dumps(heard))
    by_kind = {event["event"]: event for event in log}
    common = {"event", "iter", "time"}
    about = {"name", "max_iter", "epoch", "weights", "seed", "resumed", "threads", "engine"}
    assert set(by_kind["start"]) == common | about
    assert (by_kind["start"]["name"], by_kind["start"]["weights"], by_kind["start"]["resumed"]) == ("d", 650, False)
    norms = {"grad_norm", "weight_norm"}
    assert set(by_kind["display"]) == common | norms | {"loss", "lr", "samples_per_s", "outputs"}
    assert by_kind["display"]["lr"] == 0.05
    assert by_kind["display"]["samples_per_s"] > 0
    assert set(by_kind["test"]) == common | {"outputs", "samples", "samples_per_s", "lr"}
    assert set(by_kind["test"]["outputs"]) == {"loss", "accuracy"}
    assert by_kind["test"]["samples"] == 360
    assert by_kind["snapshot"]["weights"] == "iter_4.safetensors"
    assert by_kind["stop"]["reason"] == "finished"
    assert all(b["time"] >= a["time"] for a, b in pairwise(log))


def test_a_line_that_a_crash_cut_off_is_left_out_and_taken_back(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "log")
    log.emit("one", 1)
    with (tmp_path / "log").open("a") as file:
        file.write('{"event": "tw')
    assert [event["event"] for event in events.read(tmp_path / "log")] == ["one"]
    EventLog(tmp_path / "log").emit("three", 3)
    assert [event["event"] for event in events.read(tmp_path / "log")] == ["one", "three"]


def test_rewinding_forgets_what_came_after(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "log")
    assert log.position() == 0
    log.rewind(5)
    log.emit("one", 1)
    here = log.position()
    log.emit("two", 2)
    log.rewind(here + 3)  # a position within a line counts to the line's beginning
    assert [event["event"] for event in events.read(tmp_path / "log")] == ["one"]
    log.rewind(10**6)
    assert log.position() == here


def test_a_number_that_is_not_finite_is_null_in_the_file_only(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "log")
    heard: list[Any] = []
    log.listen(heard.append)
    log.emit("test", 1, outputs={"a": math.inf}, tables={"b": [1.5, math.nan]})
    [event] = events.read(tmp_path / "log")
    assert (event["outputs"], event["tables"]) == ({"a": None}, {"b": [1.5, None]})
    assert heard[0]["outputs"]["a"] == math.inf


def test_a_log_that_cannot_be_read_or_written_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder\n")
    with pytest.raises(lk.DataError, match=r"cannot write the event log .*: (Not a directory|File exists)"):
        EventLog(tmp_path / "file" / "log").emit("one", 1)
    with pytest.raises(lk.DataError, match=r"cannot read the event log .*: No such file"):
        events.read(tmp_path / "missing")
    with pytest.raises(lk.DataError, match=r"file is not an event log of layerkit: its first line does not say so"):
        events.read(tmp_path / "file")


def test_a_log_that_cannot_be_rewound_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    log = EventLog(tmp_path / "log")
    with pytest.raises(lk.DataError, match=r"cannot write the event log .*: Is a directory"):
        log.rewind(3)
    with pytest.raises(lk.DataError, match=r"cannot read the event log .*: Is a directory"):
        log.position()


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = EventLog(tmp_path / "log")
    log.emit("one", 1)
    monkeypatch.setattr(events, "_write", _half)
    with pytest.raises(lk.DataError, match=r"cannot write the event log .*: No space left on device"):
        log.emit("two", 2)
    monkeypatch.undo()
    log.emit("three", 3)
    assert [event["event"] for event in events.read(tmp_path / "log")] == ["one", "three"]


def _half(descriptor: int, line: bytes) -> int:
    os.write(descriptor, line[: len(line) // 2])
    raise OSError(28, "No space left on device")


def test_an_error_is_told_even_if_the_log_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    solver = digits(tmp_path, max_iter=50, display=1)
    monkeypatch.setattr(events, "_write", _half)
    with pytest.raises(lk.DataError, match="cannot write the event log"):
        solver.solve()
