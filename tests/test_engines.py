"""Engines as a user meets them: which one runs, why not another, threads, forks, and the shipped configs on both."""

from __future__ import annotations

import gc
import multiprocessing
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from net_tools import CONFIG, MLP, fill, make

import layerkit as lk
from layerkit import engines, graph, threads
from layerkit.engines.onednn import library

ROOT = Path(__file__).parents[1]
WHY = engines.missing("onednn")
needs_onednn = pytest.mark.skipif(WHY is not None, reason=f"oneDNN cannot run here: {WHY}")


@pytest.fixture
def searched(monkeypatch):
    """The library is looked for anew, and again after the test."""
    for cached in (library.load, library._find):
        monkeypatch.setattr(library, cached.__name__, cached.__wrapped__)
    monkeypatch.setattr(engines, "load", library.load)
    monkeypatch.setattr(engines.onednn, "load", library.load)
    monkeypatch.delenv(library.VARIABLE, raising=False)


def test_the_engines_by_name_and_the_best(searched, monkeypatch):
    assert engines.names() == ["onednn", "numpy"]
    assert engines.missing("numpy") is None
    assert engines.version("numpy") == np.__version__
    monkeypatch.setattr(library, "_candidates", lambda: iter(()))
    assert engines.best() == "numpy"
    net = lk.Net(CONFIG)
    assert net.engine.name == "numpy"
    with pytest.raises(lk.UnknownNameError, match=r"there is no engine 'oneDN'; did you mean 'onednn'\?"):
        lk.Net(CONFIG, engine="oneDN")


def test_a_missing_library_is_told_with_the_command_that_brings_it(searched, monkeypatch):
    monkeypatch.setattr(library, "_candidates", lambda: iter(()))
    assert engines.missing("onednn") == "oneDNN is not installed: pip install onednn-cpu-gomp"
    with pytest.raises(
        lk.UsageError, match=r"^the engine 'onednn' cannot run here: oneDNN is not installed: pip install"
    ):
        lk.Net(CONFIG, engine="onednn")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, r"LAYERKIT_ONEDNN does not help: .*gone\.so cannot be loaded: .*No such file"),
        (
            b"no library",
            r"LAYERKIT_ONEDNN does not help: .*gone\.so cannot be loaded: .*(invalid ELF header|file too short)",
        ),
    ],
)
def test_a_library_of_the_users_that_cannot_be_used(searched, monkeypatch, tmp_path, content, sentence):
    path = tmp_path / "gone.so"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv(library.VARIABLE, str(path))
    with pytest.raises(library.UnavailableError, match=sentence):
        library.load()


def test_a_library_that_is_another(searched, monkeypatch):
    name = "libm.so.6" if sys.platform == "linux" else None
    if name is None:
        pytest.skip("no library is known by name here")
    monkeypatch.setenv(library.VARIABLE, name)
    with pytest.raises(library.UnavailableError, match=r"libm\.so\.6 is no oneDNN of version 3: .*dnnl_engine_create"):
        library.load()


def test_the_loader_says_where_libgomp_comes_from():
    told = library._why_not_loaded("x.so", "libgomp.so.1: cannot open shared object file")
    assert told == "x.so needs libgomp.so.1, GCC's OpenMP runtime: install it (on Debian: apt install libgomp1)"


@needs_onednn
def test_the_fastest_is_chosen_unless_something_else_is_said():
    assert lk.Net(CONFIG).engine.name == "onednn"
    assert lk.Net(CONFIG, dtype="float64").engine.name == "numpy"
    assert lk.Net({**graph.load_run(CONFIG).resolved(), "engine": "numpy"}).engine.name == "numpy"
    with pytest.raises(lk.UsageError, match=r"the engine 'onednn' computes in float32, not in float64"):
        lk.Net(CONFIG, engine="onednn", dtype="float64")


@needs_onednn
@pytest.mark.parametrize(
    "name", ["mlp", "lenet", "lecture/linear_classifier", "lecture/sigmoid_perceptron", "lecture/branch"]
)
def test_a_shipped_config_trains_alike_on_both_engines(name):
    """20 iterations; of data that are not on this machine, random samples take the place."""
    run = graph.load(ROOT / "configs" / f"{name}.yaml", ["train"])
    losses = []
    for engine, dtype in (("onednn", "float32"), ("numpy", "float32"), ("numpy", "float64")):
        net = lk.Net.from_graph(
            graph.load(ROOT / "configs" / f"{name}.yaml", ["train"]).graphs["train"], engine=engine, dtype=dtype
        )
        losses.append([])
        rng = np.random.default_rng(0)
        step = (run.run.solver.base_lr if run.run.solver else 0.01) / 4
        for _ in range(20):
            given = {top: rng.uniform(0, 1, net.blobs[top].shape) for top in net.inputs}
            if "label" in given:
                given["label"] = rng.integers(0, 3, given["label"].shape)
            net.forward(**given)
            losses[-1].append(net.loss)
            net.backward()
            net.flat.data[...] -= step * net.flat.diff
    exact = np.array(losses[2])
    off = [np.abs(np.array(each) - exact).max() / max(1e-3, np.abs(exact).max()) for each in losses[:2]]
    assert off[0] <= max(1e-5, 4 * off[1])


@needs_onednn
def test_weights_are_packed_anew_only_where_they_may_have_changed():
    net = make(MLP, dtype="float32", engine="onednn")
    fill(net)  # hands the weights out, so that from now on they may change at any time
    before = net.forward()["loss"].copy()
    net.params["fc1"].weight.data[...] *= 2
    assert net.forward()["loss"] != before
    fresh = make(MLP, dtype="float32", engine="onednn")
    fresh.blobs["data"].data[...] = net.blobs["data"].data
    assert not any(slot.stamp.handed_out for slot in fresh.flat.slots.values())
    fresh.forward()
    fresh.backward()
    assert not any(slot.stamp.handed_out for slot in fresh.flat.slots.values())
    first = fresh.forward()["loss"].copy()
    fresh.flat.values[...] *= 2
    fresh.flat.change()
    assert fresh.forward()["loss"] != first


@needs_onednn
def test_arrays_outlive_who_made_them():
    """oneDNN's memories point to numpy arrays; that these are collected too early would show as wrong numbers."""
    want = None
    for _ in range(5):
        net = make(MLP, dtype="float32", engine="onednn")
        fill(net)
        gc.collect()
        junk = [np.full(1 << 16, np.nan) for _ in range(20)]
        loss = float(net.forward()["loss"])
        net.backward()
        del junk
        gc.collect()
        want = loss if want is None else want
        assert loss == want


@needs_onednn
def test_two_nets_in_two_threads():
    threads.use(2, "blas")
    results: dict[int, list[float]] = {}

    def train(number: int) -> None:
        solver = lk.Solver(
            {"net": graph.load_run(CONFIG).resolved()["net"], "solver": {"base_lr": 0.1, "max_iter": 30}}
        )
        results[number] = [solver.step() for _ in range(30)]

    workers = [threading.Thread(target=train, args=(number,)) for number in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert len(results) == 2
    assert results[0] == results[1]
    assert results[0][-1] < results[0][0]


def _forward_in_child(queue) -> None:
    try:
        net.forward()
        queue.put("ran")
    except lk.UsageError as error:
        queue.put(str(error))


net: lk.Net


@needs_onednn
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_process_says_that_it_cannot_go_on():
    global net
    net = make(MLP, dtype="float32", engine="onednn")
    net.forward()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_forward_in_child, args=(queue,))
    child.start()
    told = queue.get(timeout=30)
    child.join(30)
    assert told.startswith("this process was forked from one that had used the onednn engine")
    assert "spawn" in told
    net.forward()  # the parent goes on


@needs_onednn
def test_a_fork_before_the_engine_was_used_does_no_harm():
    code = (
        "import os, layerkit as lk\n"
        f"text = {CONFIG!r}\n"
        "pid = os.fork()\n"
        "net = lk.Net(text, engine='onednn')\n"
        "net.forward()\n"
        "if pid == 0: os._exit(0)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "0\n"


@needs_onednn
def test_a_run_that_goes_on_with_another_engine_says_so(tmp_path):
    run = {"net": graph.load_run(CONFIG).resolved()["net"], "solver": {"base_lr": 0.1, "max_iter": 8}}
    first = lk.Solver(run, folder=tmp_path, engine="onednn")
    first.step(4)
    first.snapshot()
    state = tmp_path / "iter_4.state.safetensors"
    assert lk.Solver({**run, "engine": "auto"}, folder=tmp_path).restore(state) == []
    other = lk.Solver(run, folder=tmp_path, engine="numpy")
    assert other.restore(state) == ["engine: onednn -> numpy (the last bits may differ)"]
    assert abs(other.step(4) - first.step(4)) < 1e-4


@needs_onednn
def test_what_uses_the_threads_is_looked_for_under_both_names():
    assert lk.threads is threads
    with pytest.raises(lk.UnknownNameError, match=r"there is no pool of threads 'openmpi'; did you mean 'openmp'\?"):
        threads.use(2, "openmpi")
    with pytest.raises(lk.UsageError, match=r"must be a whole number from 1 to 1024, not 'two'"):
        threads.use("two", "blas")
