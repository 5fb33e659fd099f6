"""How many threads compute: what the machine offers, who has a say, and which pool gets them."""

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import layerkit as lk
from layerkit import cores, snapshot, text, threads
from layerkit.errors import ConfigError, UsageError
from layerkit.report import doctor
from layerkit.spec import load_run

MLP = "configs/mlp.yaml"
SHORT = ("--set", "solver.max_iter=2", "--set", "solver.test_interval=0", "--set", "solver.snapshot=0")

# -- what the machine offers ---------------------------------------------------------------------------------------


def group(folder: Path, **files: str) -> None:
    """A control group's folder with its files; the first underscore of a name stands for the dot."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("_", ".", 1)).write_text(content)


def version2(mount: Path, root: str = "/") -> str:
    return f"24 1 0:22 / /proc rw - proc proc rw\n31 23 0:28 {root} {mount} rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"


def version1(mount: Path, root: str = "/") -> str:
    return (
        f"30 23 0:27 {root} {mount.parent}/cpuset rw - cgroup cgroup rw,cpuset\n"
        f"31 23 0:28 {root} {mount} rw,nosuid - cgroup cgroup rw,cpu,cpuacct\n"
    )


@pytest.mark.parametrize(
    ("written", "limit"),
    [("max 100000\n", None), ("200000 100000\n", 2.0), ("150000 100000\n", 1.5), ("5000 0\n", None), ("", None)],
)
def test_a_quota_of_version_2(tmp_path, written, limit):
    group(tmp_path / "job", cpu_max=written)
    assert cores.quota("0::/job\n", version2(tmp_path)) == limit


def test_the_groups_around_limit_too(tmp_path):
    group(tmp_path, cpu_max="max 100000")
    group(tmp_path / "slice", cpu_max="300000 100000")
    group(tmp_path / "slice" / "job", cpu_max="800000 100000")
    assert cores.quota("0::/slice/job\n", version2(tmp_path)) == 3.0


@pytest.mark.parametrize("path", ["/docker/abc", "/elsewhere", "/../up"])
def test_in_a_container_the_mount_is_the_group(tmp_path, path):
    group(tmp_path, cpu_max="250000 100000")
    assert cores.quota(f"0::{path}\n", version2(tmp_path, "/docker/abc")) == 2.5


@pytest.mark.parametrize(("written", "limit"), [("-1\n", None), ("50000\n", 0.5), ("400000\n", 4.0)])
def test_a_quota_of_version_1(tmp_path, written, limit):
    mount = tmp_path / "cpu"
    for folder in (mount, mount / "job"):
        folder.mkdir()
        (folder / "cpu.cfs_period_us").write_text("100000\n")
    (mount / "cpu.cfs_quota_us").write_text("-1\n")
    (mount / "job" / "cpu.cfs_quota_us").write_text(written)
    assert cores.quota("4:cpuset:/\n3:cpu,cpuacct:/job\n0::/\n", version1(mount)) == limit


@pytest.mark.parametrize(("cgroup", "mountinfo"), [("", ""), ("nonsense", "31 23"), ("0::/job\n", "")])
def test_a_system_without_control_groups_has_no_quota(cgroup, mountinfo):
    assert cores.quota(cgroup, mountinfo) is None


@pytest.mark.parametrize("file", ["core_cpus_list", "thread_siblings_list"])
def test_cores_are_counted_once(tmp_path, file):
    for cpu, siblings in enumerate(("0,2", "1,3", "0,2", "1,3")):
        (tmp_path / f"cpu{cpu}" / "topology").mkdir(parents=True)
        (tmp_path / f"cpu{cpu}" / "topology" / file).write_text(f"{siblings}\n")
    assert cores.physical(range(4), tmp_path, "") == 2
    assert cores.physical({0, 2}, tmp_path, "") == 1  # both allowed CPUs lie on one core
    assert cores.physical({0, 1, 9}, tmp_path, "") == 3  # nothing is known of the last


def test_cores_from_cpuinfo(tmp_path):
    places = ((0, 0), (0, 1), (0, 0), (1, 0))
    blocks = [
        f"processor\t: {cpu}\nmodel name\t: X 9000\nphysical id\t: {package}\ncore id\t\t: {core}\napicid : 7\n"
        for cpu, (package, core) in enumerate(places)
    ]
    assert cores.physical(range(4), tmp_path, "\n".join(blocks)) == 3
    assert cores.physical(range(4), tmp_path, "processor\t: 0\nBogoMIPS\t: 48.00\n") == 4  # as on many ARM machines


@pytest.mark.parametrize(
    ("found", "count"),
    [
        (cores.Found(8, None, 8), 8),
        (cores.Found(8, None, 4), 4),
        (cores.Found(2, 6.0, 2), 2),
        (cores.Found(8, 3.9, 8), 3),
        (cores.Found(8, 0.5, 8), 1),
    ],
)
def test_the_smallest_decides(found, count):
    assert found.threads == count


def test_this_machine_offers_something(monkeypatch):
    found = cores.find()
    assert 1 <= found.threads <= found.cores <= found.cpus
    assert found.quota is None or found.quota > 0
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert cores.allowed() == set(range(os.cpu_count()))


# -- who has a say -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "answer"),
    [
        ({}, None),
        ({"OMP_NUM_THREADS": "3"}, ("OMP_NUM_THREADS", 3)),
        ({"OMP_NUM_THREADS": " 4,2 "}, ("OMP_NUM_THREADS", 4)),
        ({"OMP_NUM_THREADS": "many", "OPENBLAS_NUM_THREADS": "2"}, ("OPENBLAS_NUM_THREADS", 2)),
        ({"MKL_NUM_THREADS": "0"}, None),
    ],
)
def test_what_the_environment_asks_for(environment, answer):
    assert threads.asked(environment) == answer


def test_the_default_is_the_machines_unless_the_environment_asks(monkeypatch):
    monkeypatch.setattr(cores, "find", lambda: cores.Found(12, None, 6))
    for name in threads.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert threads.default() == 6
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert threads.default() == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "5000")
    assert threads.default() == threads.MOST


@pytest.mark.parametrize("count", [0, -1, 1025])
def test_a_count_that_cannot_be(count):
    with pytest.raises(UsageError, match=f"^the number of threads must be a whole number from 1 to 1024, not {count}$"):
        threads.use(count, "blas")
    assert threads.count() == 1  # as it was


# -- which pool gets them ------------------------------------------------------------------------------------------


class FakeBlas:
    """A BLAS library as threadpoolctl hands it out."""

    def __init__(self):
        self.num_threads = 64
        self.calls = 0

    def set_num_threads(self, count):
        self.num_threads = count
        self.calls += 1


class FakeOpenMP(threading.local):
    """An OpenMP runtime: the count is the calling thread's."""

    most = 64

    def omp_set_num_threads(self, count):
        self.most = count

    def omp_get_max_threads(self):
        return self.most


@pytest.fixture
def blas(monkeypatch) -> Iterator[FakeBlas]:
    with monkeypatch.context() as patch:
        fake = FakeBlas()
        patch.setattr(threads, "blas_libraries", lambda: [fake])
        yield fake
    threads.use(1, "blas")


def elsewhere(function: Callable) -> object:
    """What a function returns in another thread."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


def test_blas_gets_the_threads(blas):
    threads.use(5, "blas")
    assert (blas.num_threads, threads.count()) == (5, 5)


def test_openmp_gets_the_threads_and_blas_a_single_one(blas):
    openmp = FakeOpenMP()
    threads.use(5, "openmp", openmp)
    assert (blas.num_threads, openmp.most, threads.count()) == (1, 5, 5)
    threads.use(3, "blas")
    assert (blas.num_threads, threads.count()) == (3, 3)


def test_another_thread_is_told_when_it_enters(blas):
    openmp = FakeOpenMP()
    threads.use(5, "openmp", openmp)

    def before_and_after() -> tuple[int, int]:
        before = openmp.most
        threads.enter()
        return before, openmp.most

    assert elsewhere(before_and_after) == (64, 5)
    assert elsewhere(threads.count) == 5


def test_a_thread_is_told_once_for_each_choice(blas):
    threads.use(2, "blas")
    calls = blas.calls
    threads.enter()
    threads.enter()
    assert blas.calls == calls
    elsewhere(lambda: threads.use(4, "blas"))
    threads.enter()
    assert blas.calls == calls + 2  # by the other thread, and by this one for what it keeps for itself


def test_without_a_blas_that_can_be_asked_there_is_one_thread(monkeypatch):
    monkeypatch.setattr(threads, "blas_libraries", list)
    assert threads.count() == 1


def test_the_blas_of_this_machine_obeys_every_thread():
    if not threads.blas_libraries():
        pytest.skip("threadpoolctl knows no BLAS here")
    threads.use(2, "blas")
    assert threads.count() == 2

    def use_three() -> int:
        threads.use(3, "blas")
        return threads.count()

    assert elsewhere(use_three) == 3
    assert threads.count() == 3


def test_the_openmp_of_this_machine_obeys():
    try:
        ctypes.CDLL("libgomp.so.1")
    except OSError:
        pytest.skip("there is no libgomp.so.1 here")

    def both() -> tuple[int, int]:
        threads.use(3, "openmp")
        return threads.count(), max((blas.num_threads for blas in threads.blas_libraries()), default=1)

    assert elsewhere(both) == (3, 1)


def test_a_library_without_openmp_is_refused():
    with pytest.raises(UsageError, match="is linked with no OpenMP runtime"):
        threads.use(2, "openmp", object())
    assert threads.count() == 1


def test_a_missing_runtime_is_told(monkeypatch):
    def missing(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(UsageError, match=r"^OpenMP's runtime libgomp\.so\.1 is missing; .* has it$"):
        threads.use(2, "openmp")


# -- the run and the command line ----------------------------------------------------------------------------------


@pytest.fixture
def used(monkeypatch) -> list[tuple]:
    """What commands ask of `threads.use`, which then does nothing; an engine that takes them over is left out."""
    calls = []
    monkeypatch.setattr(threads, "use", lambda *arguments: calls.append(arguments))
    monkeypatch.setattr(threads, "take_over", lambda library: None)
    return calls


@pytest.mark.parametrize(
    ("written", "option", "count"),
    [("", (), None), ("threads: 3\n", (), 3), ("", ("--threads", "2"), 2), ("threads: 3\n", ("--threads", "2"), 2)],
)
def test_the_option_wins_over_the_file(command, used, written, option, count):
    Path("run.yaml").write_text(written + Path(MLP).read_text())
    assert command("train", "run.yaml", *SHORT, *option).status == 0
    assert load_run("runs/mlp/config.yaml").threads == count
    assert command("test", "run.yaml", "--weights", "runs/mlp/iter_2.safetensors", *option).status == 0
    assert used == [(count, "blas")] * 2


def test_a_net_without_a_run_may_say_it_too():
    net = {"layers": [{"name": "data", "type": "Input", "shape": [1, 2]}], "threads": 2}
    assert load_run(net).threads == 2
    assert load_run(net, ["threads=4"]).resolved()["threads"] == 4


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("0", "threads must be greater than 0, not 0"),
        ("1025", "threads must be at most 1024, not 1025"),
        ("1.5", "threads must be a whole number, not 1.5"),
        ("all", "threads must be a whole number, not 'all'"),
        ("true", "threads must be a whole number, not true"),
    ],
)
def test_a_count_in_a_file_that_cannot_be(folder, value, sentence):
    with pytest.raises(ConfigError) as caught:
        load_run(Path(MLP).read_text() + f"threads: {value}\n")
    assert str(caught.value).endswith(f": {sentence}")


@pytest.mark.parametrize("value", ["0", "1025", "all"])
def test_a_count_on_the_command_line_that_cannot_be(command, value):
    answer = command("train", MLP, "--threads", value)
    assert (answer.status, answer.err.count("\n")) == (2, 1)
    assert "--threads" in answer.err


def test_a_state_records_the_count_in_force(command):
    if not threads.blas_libraries():
        pytest.skip("threadpoolctl knows no BLAS here")
    assert command("train", MLP, *SHORT, "--threads", "2").status == 0
    assert snapshot.read_state_info("runs/mlp/iter_2.state.safetensors").threads == 2
    notes = command("train", MLP, "--resume", *SHORT, "--threads", "1").err.splitlines()
    assert [line for line in notes if "threads" in line] == [
        "  changed since then: threads: 2 -> 1 (the last bits may differ)"
    ]


def test_a_count_that_is_said_and_changes_nothing_is_no_change(command):
    assert command("train", MLP, *SHORT).status == 0
    assert "threads" not in command("train", MLP, "--resume", *SHORT, "--threads", "1").err


def test_from_python_the_process_is_left_alone(folder, used):
    run = text.parse(Path(MLP).read_text())
    lk.Solver({**run, "threads": 2}).step(1)
    assert used == []


# -- the engine that is missing ------------------------------------------------------------------------------------


def test_training_names_what_would_make_it_faster(command, monkeypatch):
    monkeypatch.setattr(doctor, "advice", lambda: "it would be faster with: pip install more")
    assert command("train", MLP, *SHORT).err == "note: it would be faster with: pip install more\n"
    assert command("train", MLP, *SHORT, "--quiet") == (0, "", "")
