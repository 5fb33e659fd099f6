"""Batches made ahead by threads: the same as without, whatever is asked for; and what is left behind: nothing."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prefetch_tools import CountingMaker, GatedMaker, N, UnopenedMaker, buffers, wanted

import layerkit as lk
from layerkit import cores
from layerkit.blob import Array
from layerkit.datasets.prefetch import Batches, Made, crew
from layerkit.datasets.prefetch.maker import Buffer
from layerkit.errors import DataError, UsageError


def assert_taken(batches: Batches, position: int) -> int:
    """Take a batch, see that it is the one wanted, and return the position of the next."""
    made, arrays = batches.take(position)
    expected, values = wanted(position)
    assert made == expected
    for array, value in zip(arrays, values, strict=True):
        np.testing.assert_array_equal(array, value)
    return made.next


@pytest.fixture(autouse=True)
def _nobody_left() -> None:
    """Nets that other tests left to the garbage collector."""
    gc.collect()


def workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("layerkit batches")]


# -- what is taken -------------------------------------------------------------------------------------------------


@given(
    depth=st.integers(0, 4),
    number=st.integers(1, 3),
    bad=st.sets(st.sampled_from([0, 3, 6, 8, 11, 14, 16]), max_size=2),
    course=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 5)), max_size=6),
)
@settings(deadline=None, max_examples=60)
def test_every_batch_is_the_same_however_many_are_made_ahead(
    depth: int, number: int, bad: set[int], course: list[tuple[int, int]]
) -> None:
    with Batches(CountingMaker(sorted(bad)), buffers, depth=depth, workers=number) as batches:
        for position, steps in course:  # jumps, each with some batches in a row
            for _ in range(steps):
                if position in bad:
                    with pytest.raises(DataError) as caught:
                        batches.take(position)
                    assert str(caught.value) == f"a.png: sample {position} is broken"
                    position = CountingMaker().after(position)
                else:
                    position = assert_taken(batches, position)
    assert not workers()


def test_an_error_is_raised_with_its_batch_and_not_before() -> None:
    with Batches(CountingMaker([6]), buffers, depth=4) as batches:
        assert assert_taken(batches, assert_taken(batches, 0)) == 6
        for _ in range(2):
            with pytest.raises(DataError, match="sample 6 is broken") as caught:
                batches.take(6)
            assert caught.value.__notes__ == ["while making the batch at position 6"]
        assert_taken(batches, 8)
        assert batches.taken == 3


def test_what_was_taken_is_valid_until_the_next_take() -> None:
    maker = GatedMaker()
    with Batches(maker, buffers, depth=2) as batches:
        for position in (0, 3, 6):
            maker.gate.release(3 if position == 0 else 1)
            made, arrays = batches.take(position)
            for _ in range(3 if position == 0 else 1):  # all that is made ahead is made by now
                maker.made.acquire()
            for array, value in zip(arrays, wanted(position)[1], strict=True):
                np.testing.assert_array_equal(array[: made.rows], value)


@pytest.mark.parametrize("number", [1, 2, 5])
def test_memory_and_threads_are_bounded(number: int) -> None:
    maker, rooms = GatedMaker(), []

    def room() -> list[Array]:
        rooms.append(buffers())
        return rooms[-1]

    with Batches(maker, room, depth=3, workers=number) as batches:
        assert not rooms
        assert not workers()
        maker.gate.release(100)
        for position in (0, 3, 6, 8, 0, 3, 16):
            made, arrays = batches.take(position)
            assert arrays[0].strides == rooms[0][0].strides
            assert set(map(len, arrays)) == {made.rows}
            # the one taken and three ahead, of which no two begin at the same place
            assert max(maker.begun) <= max(position, 8) + 4 * N
        assert len(rooms) == 4
        assert len(workers()) == min(number, 3)
    helped = threading.get_ident() in maker.threads
    assert not helped or number < len(cores.allowed())


class HelpedMaker(GatedMaker):
    """Its thread is held at the first batch until another was made by whoever takes; that one may fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fails: bool = False):
        super().__init__()
        self.gate.release(100)
        self.here = threading.get_ident()
        self.fails = fails
        self.helped, held = threading.Event(), threading.Event()
        self.held, helping = held, crew.Crew.help
        monkeypatch.setattr(crew.Crew, "help", lambda self: held.wait() and helping(self))

    def make(self, position: int, out: Sequence[Array]) -> Made:
        if threading.get_ident() == self.here:
            self.helped.set()
            if self.fails:
                raise ValueError(f"nothing at {position}")
        elif position == 0:
            self.held.set()
            self.helped.wait()
        return super().make(position, out)


def test_whoever_waits_makes_what_nobody_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "allowed", lambda: {0, 1})
    maker = HelpedMaker(monkeypatch)
    with Batches(maker, buffers, depth=3) as batches:
        position = 0
        for _ in range(4):
            position = assert_taken(batches, position)
    assert maker.here in maker.threads


def test_an_error_in_helping_is_that_of_its_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "allowed", lambda: {0, 1})
    with Batches(HelpedMaker(monkeypatch, fails=True), buffers, depth=1) as batches:
        second = assert_taken(batches, 0)
        with pytest.raises(ValueError, match=f"nothing at {second}"):
            batches.take(second)


def test_nobody_helps_where_the_processors_have_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "allowed", lambda: {0, 1})
    maker = GatedMaker()
    maker.gate.release(100)
    with Batches(maker, buffers, depth=3, workers=2) as batches:
        position = 0
        for _ in range(20):
            position = assert_taken(batches, position)
    assert threading.get_ident() not in maker.threads


def test_without_depth_there_are_no_threads() -> None:
    maker = GatedMaker()
    maker.gate.release(2)
    with Batches(maker, buffers, workers=4) as batches:
        assert_taken(batches, assert_taken(batches, 0))
        assert maker.begun == [0, 3]
        assert maker.threads == {threading.get_ident()}
        assert batches.waited > 0
    assert (maker.opened, maker.closed, batches.taken) == (1, 1, 2)


def test_a_jump_drops_what_was_not_begun() -> None:
    maker = GatedMaker()
    with Batches(maker, buffers, depth=4) as batches:
        maker.gate.release(2)
        batches.take(0)
        maker.made.acquire()
        maker.made.acquire()
        maker.gate.release(100)
        batches.take(80)
        assert [position for position in maker.begun if position < 80][3:] == []


def test_only_waiting_counts_as_waiting() -> None:
    maker = GatedMaker()
    with Batches(maker, buffers, depth=1) as batches:
        timer = threading.Timer(0.01, maker.gate.release, [3])
        timer.start()
        batches.take(0)
        timer.join()
        waited = batches.waited
        assert waited > 0
        with batches._ahead[0].done:  # until it is made
            pass
        batches.take(3)
        assert batches.waited == waited


# -- beginning and end ---------------------------------------------------------------------------------------------


def test_closed_twice_and_taken_up_again() -> None:
    maker = CountingMaker()
    batches = Batches(maker, buffers, depth=2, workers=2)
    batches.close()
    assert maker.opened == 0
    for turn in (1, 2):
        assert_taken(batches, 3)
        assert len(workers()) == 2
        batches.close()
        batches.close()
        assert not workers()
        assert (maker.opened, maker.closed) == (turn, turn)


@pytest.mark.parametrize("depth", [0, 2])
def test_what_is_forgotten_is_closed(depth: int) -> None:
    class Layer:
        """As a layer would, it holds its batches and makes their room."""

        def __init__(self, maker: CountingMaker):
            self.batches = Batches(maker, self.room, depth=depth)

        def room(self) -> list[Array]:
            return buffers()

    maker = CountingMaker()
    layer = Layer(maker)
    assert_taken(layer.batches, 0)
    del layer
    gc.collect()
    assert not workers()
    assert maker.closed == 1


@pytest.mark.parametrize("depth", [0, 2])
def test_what_cannot_be_opened_can_be_tried_again(depth: int) -> None:
    maker = UnopenedMaker()
    with Batches(maker, buffers, depth=depth) as batches:
        with pytest.raises(DataError, match=r"^a\.hdf5 is not there$"):
            batches.take(0)
        assert not workers()
        assert maker.closed == 0
        assert_taken(batches, 0)
    assert (maker.opened, maker.closed) == (2, 1)


def test_no_room_for_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    start, started = threading.Thread.start, []

    def first_only(thread: threading.Thread) -> None:
        if started:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    maker = CountingMaker()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", first_only)
        batches = Batches(maker, buffers, depth=2, workers=2)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            batches.take(0)
    assert not workers()
    assert (maker.opened, maker.closed) == (1, 1)
    assert_taken(batches, 0)
    batches.close()


def test_a_thread_that_is_stuck_is_left_be_and_closes_at_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "PATIENCE", 0.0)
    maker = GatedMaker()
    batches = Batches(maker, buffers, depth=1)
    maker.gate.release()
    batches.take(0)
    (thread,) = workers()
    maker.asked.acquire()
    maker.asked.acquire()
    batches.close()
    assert maker.closed == 0
    maker.gate.release()
    thread.join()
    assert maker.closed == 1


def test_closed_in_the_middle_of_a_take() -> None:
    """As by a signal handler of the user's."""
    maker = GatedMaker()
    batches = Batches(maker, buffers, depth=2)
    maker.gate.release(100)
    batches.take(0)
    found = batches._crew
    assert found is not None
    found.ended = True
    with pytest.raises(UsageError, match="closed while the batch at position 3 was to be made"):
        found.ask(3, Buffer(0, buffers()))
    with pytest.raises(UsageError, match="closed while the batch at position 3 was waited for"):
        crew.Job(3, Buffer(0, buffers())).result()
    assert_taken(batches, 3)  # an end that was interrupted is made up for
    assert batches._crew is not found
    batches.close()
    assert maker.closed == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": -1}, "-1 deep by 1 workers"),
        ({"depth": 1, "workers": 0}, "1 deep by 0 workers"),
        ({"kind": "fibres"}, "workers are threads or processes, not 'fibres'"),
    ],
)
def test_numbers_and_kinds_that_cannot_be(options: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Batches(CountingMaker(), buffers, **options)  # type: ignore[arg-type]


# -- real processes ------------------------------------------------------------------------------------------------

BEGIN = f"""
import os, signal, sys, threading
sys.path[:0] = [{str(Path(lk.__file__).parents[1])!r}, {str(Path(__file__).parent)!r}]
from prefetch_tools import *
from layerkit.datasets.prefetch import Batches
"""


def run(script: str) -> list[str]:
    """What a script prints; it must end by itself, with status 0 and no complaint."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", BEGIN + script], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_ctrl_c_in_the_middle_of_a_take() -> None:
    script = """
import time
class Interrupting(CountingMaker):
    def make(self, position, out):
        if self.opened == 1:
            os.kill(os.getpid(), signal.SIGINT)
            while not crew.ended:  # until the other thread is being told
                time.sleep(0.001)
        return super().make(position, out)
batches = Batches(Interrupting(), buffers, depth=1)
hire = batches._hire
def hired():
    global crew
    crew = hire()
    return crew
batches._hire = hired
try:
    batches.take(0)
except KeyboardInterrupt:
    print("interrupted", threading.active_count())
print(batches.take(0)[0].next, threading.active_count())
"""
    assert run(script) == ["interrupted", "1", "3", "2"]


def test_the_interpreter_ends_without_close_and_after_an_error() -> None:
    script = """
import atexit
class Telling(CountingMaker):
    def close(self):
        print("closed", flush=True)
for depth in (0, 3):
    batches = Batches(Telling(), buffers, depth=depth)
    batches.take(0)
    globals()[f"kept{depth}"] = batches
"""
    assert run(script) == ["closed", "closed"]


def test_a_fork_takes_from_threads_of_its_own() -> None:
    script = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads, from Python 3.12 on
batches = Batches(CountingMaker(), buffers, depth=2)
batches.take(0)
child = os.fork()
print(batches.take(3)[0].next, flush=True)
if child:
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), batches.take(6)[0].next)
"""
    assert run(script) == ["6", "6", "0", "8"]
