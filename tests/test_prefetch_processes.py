"""Batches made ahead by worker processes: the same batches, errors in words, and no process or memory left behind."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from prefetch_tools import CountingMaker, EndingMaker, StrangeError, UnopenedMaker, buffers, hidden_maker, rows
from test_prefetch import BEGIN, assert_taken, run

from layerkit.datasets.prefetch import Batches, Maker
from layerkit.datasets.prefetch.memory import Layout, Memory
from layerkit.datasets.prefetch.messages import error_message, error_of, receive, send
from layerkit.datasets.prefetch.worker import work
from layerkit.errors import ConfigError, DataError, Problem, ShapeError, UnknownNameError, UsageError


def ahead(maker: Maker, workers: int = 1, depth: int = 2) -> Batches:
    return Batches(maker, buffers, depth=depth, workers=workers, kind="processes")


# -- what is taken -------------------------------------------------------------------------------------------------


def test_batches_are_the_same_and_so_are_errors() -> None:
    with ahead(CountingMaker([11]), workers=2, depth=3) as batches:
        for position in (0, 3, 6, 8, 3, 6, 160, 0, 0):
            assert_taken(batches, position)
            assert batches.take(position)[1][0].strides == buffers()[0][: rows(position)].strides
        with pytest.raises(DataError) as caught:
            batches.take(11)
        assert str(caught.value) == "a.png: sample 11 is broken"
        assert "prefetch_tools.py" in caught.value.__notes__[0]
        assert caught.value.__notes__[1] == "while making the batch at position 11"
        assert_taken(batches, 14)


def test_what_happens_in_a_worker() -> None:
    does = {0: "environment", 3: "killed", 6: "exits", 8: "reads", 11: "strange", 14: "prints", 16: "interrupted"}
    with ahead(EndingMaker({str(key): value for key, value in does.items()}), depth=1) as batches:
        assert batches.take(0)[0].notes == ("1",)  # threads of OpenMP
        for position, error, message in (
            (
                3,
                DataError,
                r"a worker process was ended by SIGKILL \(is there enough memory\?\) over the batch at posi",
            ),
            (6, DataError, "a worker process ended with status 3 over the batch at position 6"),
            (8, FileNotFoundError, r"\[Errno 2\] No such file or directory: '/no/such/file'"),
            (11, StrangeError, "number 11"),
        ):
            with pytest.raises(error, match=message) as caught:
                batches.take(position)
            assert type(caught.value) is error
        for position in (14, 16, 19):
            assert_taken(batches, position)


def test_a_maker_that_cannot_be_opened_or_made() -> None:
    with ahead(UnopenedMaker()) as batches:
        with pytest.raises(DataError, match=r"^a\.hdf5 is not there"):
            batches.take(0)
        with pytest.raises(DataError, match=r"^a\.hdf5 is not there"):
            batches.take(3)

    with ahead(hidden_maker()) as batches, pytest.raises(AttributeError, match="<locals>"):
        batches.take(0)


# -- messages ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        DataError("a.png: broken"),
        ShapeError("too small", "crop_size"),
        UnknownNameError("dataset", "mnits", ["mnist"]),
        FileNotFoundError(errno.ENOENT, "No such file", "a.png"),
        KeyError("a"),
        ZeroDivisionError(),
        StrangeError(3),
        json.JSONDecodeError("bad", "{", 1),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_told_is_the_same_error(error: Exception) -> None:
    error.add_note("there")
    told = error_of(json.loads(json.dumps(error_message(error))))
    assert (type(told), str(told), told.__notes__) == (type(error), str(error), ["there"])
    assert getattr(told, "field", None) == getattr(error, "field", None)


def test_an_error_that_cannot_be_told_is_told_of() -> None:
    class NestedError(Exception):
        """A class that no other process can find."""

    for error, text in (
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad byte"), "UnicodeDecodeError: 'utf-8' codec can't decode byte"),
        (ConfigError([Problem("no")]), "ConfigError: no"),
        (NestedError("a"), "NestedError: a"),
    ):
        told = error_of(json.loads(json.dumps(error_message(error))))
        assert type(told) is RuntimeError
        assert text in str(told)


def test_a_worker_answers_until_nobody_asks() -> None:
    memory = Memory([Layout.of(array) for array in buffers()], 2)
    asking, telling = os.pipe(), os.pipe()
    gave_up = threading.Event()
    with os.fdopen(asking[1], "wb") as requests, os.fdopen(telling[0], "rb") as answers:
        ends = os.fdopen(asking[0], "rb"), os.fdopen(telling[1], "wb")
        worker = threading.Thread(target=work, args=(*ends, gave_up.set))
        worker.start()
        first = {"maker": ["prefetch_tools", "CountingMaker"], "spec": {"bad": [6]}, "layouts": memory.layouts}
        send(requests, {**first, "count": 2, "descriptor": os.dup(memory.descriptor)})
        send(requests, {"position": 3, "number": 1})
        assert receive(answers) == {"rows": 3, "next": 6, "notes": [3, "at 3"]}
        np.testing.assert_array_equal(memory.arrays(1)[1], [21, 28, 35])
        send(requests, {"position": 6, "number": 0})
        told = receive(answers)
        assert told is not None
        assert told["error"]["type"] == ["layerkit.errors", "DataError"]
        requests.close()
        worker.join()
        assert receive(answers) is None
    assert gave_up.wait(10)  # where it has returned, that finds no process any more
    memory.close()


# -- memory --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_memory", [True, False])
def test_memory_has_no_name_and_keeps_the_layout(in_memory: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not in_memory:
        monkeypatch.delattr(os, "memfd_create")
    strange = np.zeros((2, 3, 5), ">i2").transpose(1, 2, 0)
    memory = Memory([Layout.of(strange), Layout.of(np.zeros((), np.float64)), Layout.of(np.zeros((0, 3)))], 3)
    seen = Memory(memory.layouts, 3, os.dup(memory.descriptor))
    assert "deleted" in os.readlink(f"/proc/self/fd/{memory.descriptor}")
    for number in range(3):
        memory.arrays(number)[0][...] = number + np.arange(30).reshape(3, 5, 2)
        memory.arrays(number)[1][...] = number / 2
    for each in (memory, seen):
        each.close()
    for number in range(3):
        first, second, none = seen.arrays(number)
        assert (first.strides, first.dtype) == (strange.strides, strange.dtype)
        np.testing.assert_array_equal(first, number + np.arange(30).reshape(3, 5, 2))
        assert (second, none.shape) == (number / 2, (0, 3))


def test_too_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    before = os.listdir("/proc/self/fd")
    with ahead(CountingMaker()) as batches, pytest.raises(DataError, match=r"no 0 MiB of memory .* \(No space left"):
        batches.take(0)
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize(("module", "name", "value"), [(os, "name", "nt"), (sys, "executable", "")])
def test_where_no_process_can_be_started(module: Any, name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = ahead(CountingMaker())
    with monkeypatch.context() as patch:
        patch.setattr(module, name, value)
        with pytest.raises(UsageError, match="worker processes need a POSIX system"):
            batches.take(0)


def test_a_process_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    with ahead(CountingMaker()) as batches:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", "/no/such/python")
            with pytest.raises(DataError, match=r"a worker process cannot be started: .* No such file .*; use threads"):
                batches.take(0)
            batches.close()
        assert_taken(batches, 0)


# -- every way out -------------------------------------------------------------------------------------------------


def test_a_script_without_a_guard_needs_no_close() -> None:
    script = """
print("once")
batches = Batches(CountingMaker(), buffers, depth=2, workers=2, kind="processes")
print(batches.take(0)[0].next, batches.take(3)[0].next)
"""
    assert run(script) == ["once", "3", "6"]


STUCK = """
batches = Batches(EndingMaker({"0": "stuck"}), buffers, depth=2, workers=2, kind="processes")
try:
    batches.take(0)
except KeyboardInterrupt:
    print("interrupted", batches.take(6)[0].next, flush=True)
"""


@pytest.mark.parametrize(
    ("send", "status"),
    [
        (lambda child: os.killpg(child.pid, signal.SIGINT), 0),
        (lambda child: child.kill(), -signal.SIGKILL),
    ],
    ids=["Ctrl-C", "SIGKILL"],
)
def test_no_process_outlives_whoever_started_it(send: Callable[[Any], None], status: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", "-c", BEGIN + STUCK],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as child:
        assert child.stderr is not None
        assert child.stderr.readline() == "stuck\n"
        send(child)
        out, err = child.communicate(timeout=30)  # until all who inherited standard error have ended, workers too
    assert (child.returncode, err) == (status, "")
    assert out.split() == (["interrupted", "8"] if status == 0 else [])


def test_a_worker_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("layerkit.datasets.prefetch.processes.PATIENCE", 0.0)
    batches = ahead(CountingMaker())
    assert_taken(batches, 0)
    batches.close()
    assert [thread for thread in threading.enumerate() if thread.name.startswith("layerkit batches")] == []
    assert_taken(batches, 3)
    batches.close()
