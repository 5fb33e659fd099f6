"""The command line: what each verb prints, where, and with which exit status."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import layerkit
from layerkit import text

VERBS = [
    "train",
    "sweep",
    "test",
    "predict",
    "check",
    "summary",
    "draw",
    "trace",
    "time",
    "convert",
    "data",
    "new",
    "layers",
    "doctor",
]
CONFIGS = Path(__file__).parents[1] / "configs"
SHIPPED = [
    path.relative_to(CONFIGS).with_suffix("").as_posix()
    for path in (*sorted(CONFIGS.glob("*.yaml")), *sorted(CONFIGS.glob("*/*.yaml")))
]


def python(*arguments: str, **options) -> subprocess.CompletedProcess:
    """A real child process that imports the layerkit under test, in the current folder."""
    root = str(Path(layerkit.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root, "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=environment, timeout=60, **options
    )


# -- help, version, options ----------------------------------------------------------------------------------------


def test_help_names_every_verb_and_every_exit_status(command):
    answer = command("--help")
    assert answer.status == 0
    assert all(f"  {verb}  " in answer.out for verb in VERBS)
    assert all(f"{status} " in answer.out.split("Exit status:")[1] for status in (0, 1, 2, 130, 141, 143))
    assert "..." not in answer.out.split("Commands:")[1]  # no verb's first line is cut short
    assert not answer.err
    assert command("-h") == answer


def test_version(command):
    assert command("--version") == (0, f"layerkit {layerkit.__version__}\n", "")


def test_without_arguments_it_prints_help(command):
    assert "Commands:" in "".join(command()[1:])
    assert "FILE" in "".join(command("train")[1:])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("bogus",), "bogus"),
        (("check", "configs/mlp.yaml", "--bogus"), "--bogus"),
        (("check", "a.yaml", "b.yaml"), "b.yaml"),
        (("train", "configs/mlp.yaml", "--seed", "many"), "--seed"),
        (("train", "configs/mlp.yaml", "--seed", "-1"), "--seed"),
        (("test", "configs/mlp.yaml"), "--weights"),
        (("test", "configs/mlp.yaml", "--weights", "w", "--iterations", "0"), "--iterations"),
        (("train", "configs/mlp.yaml", "--set"), "--set"),
    ],
)
def test_a_wrong_option_is_one_line_and_status_2(command, arguments, said):
    answer = command(*arguments)
    assert answer.status == 2
    assert not answer.out
    assert said in answer.err
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("check", "none.yaml"), "there is no file 'none.yaml'\n"),
        (("check", "configs"), "cannot read 'configs': Is a directory\n"),
        (("summary", "configs/mlp.yaml", "--phase", "tst"), "there is no phase 'tst'; did you mean 'test'?\n"),
        (("check", "configs/mlp.yaml", "--phase", "train", "--expand"), "; give one\n"),
        (("check", "configs/mlp.yaml", "--set", "solver.base_lr"), "not of the form a.b=value\n"),
        (("check", "configs/mlp.yaml", "--set", "solver.base_rl=1"), "did you mean 'base_lr'?\n"),
        (("check", "configs/mlp.yaml", "--set", "net.layers.fc11.num_output=1"), "did you mean 'fc1'?\n"),
        (("new", "mpl"), "there is no shipped config 'mpl'; did you mean 'mlp'?\n"),
        (("test", "configs/mlp.yaml", "--weights", "none.safetensors"), "there is no file 'none.safetensors'\n"),
        (("test", "configs/mlp.yaml", "--weights", "configs/mlp.yaml"), "must end in .safetensors or .npz\n"),
        (("test", "configs/lecture/branch.yaml", "--weights", "w.npz"), "give it a Data layer\n"),
    ],
)
def test_what_can_be_mended_is_one_sentence_and_status_2(command, arguments, sentence):
    answer = command(*arguments)
    assert answer.status == 2
    assert not answer.out
    assert answer.err.endswith(sentence)
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(28, "No space left on device", "runs/x"), "cannot write 'runs/x': the disk is full"),
        (OSError(30, "Read-only file system", "runs/x"), "cannot use 'runs/x': Read-only file system"),
        (OSError(28, "No space left on device"), "cannot write: the disk is full"),
        (OSError("odd"), "odd"),
        (MemoryError("Unable to allocate 9 TiB"), "not enough memory: Unable to allocate 9 TiB; a smaller"),
        (MemoryError(), "not enough memory; a smaller"),
        (KeyboardInterrupt(), "interrupted"),
    ],
)
def test_what_the_machine_refuses_is_one_sentence(command, monkeypatch, error, sentence):
    def refuse(*arguments, **options):
        raise error

    monkeypatch.setattr("layerkit.graph.load", refuse)
    answer = command("check", "configs/mlp.yaml")
    assert answer.status == (130 if isinstance(error, KeyboardInterrupt) else 2)
    assert answer.err.startswith(sentence)
    assert answer.err.count("\n") == 1


def test_a_bug_is_not_hidden(command, monkeypatch):
    def bug(*arguments, **options):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("layerkit.graph.load", bug)
    with pytest.raises(ZeroDivisionError):
        command("check", "configs/mlp.yaml")


# -- check ---------------------------------------------------------------------------------------------------------


def test_check_says_what_is_there(command):
    assert command("check", "configs/mlp.yaml") == (
        0,
        "configs/mlp.yaml: ok (layers: train 5, test 6, predict 5)\n",
        "",
    )


def test_check_reports_every_fault_in_order(command):
    Path("bad.yaml").write_text(
        "layers:\n"
        "  - {name: data, type: Input, shape: [2, 3]}\n"
        "  - {name: fc, type: InnerProdct, num_output: 4}\n"
        "  - {name: fc2, type: InnerProduct, num_outputs: 4}\n"
    )
    answer = command("check", "bad.yaml")
    assert answer.status == 2
    assert [line.split(": ")[0] for line in answer.err.splitlines()] == ["bad.yaml:3:22", "bad.yaml:4:37"]
    assert "did you mean 'InnerProduct'?" in answer.err
    assert "did you mean 'num_output'?" in answer.err


def test_check_notes_missing_samples_and_is_content(command):
    answer = command("check", "configs/lenet.yaml")
    assert answer.status == 0
    assert answer.out == "configs/lenet.yaml: ok (layers: train 9, test 10, predict 9)\n"
    notes = answer.err.splitlines()
    assert len(notes) == 2
    assert all(line.startswith("note: configs/lenet.yaml:") for line in notes)
    assert "train-images-idx3-ubyte" in notes[0]


def test_check_notes_a_missing_file_of_a_loss(command):
    Path("net.yaml").write_text(
        "layers:\n"
        "  - {name: data, type: Input, top: [x, label], shape: [[2, 3], [2]]}\n"
        "  - {name: loss, type: InfogainLoss, bottom: [x, label], source: h.npy}\n"
    )
    answer = command("check", "net.yaml")
    assert answer.status == 0
    assert answer.err == "note: net.yaml:3:5: layer 'loss' (InfogainLoss): there is no file 'h.npy'\n"
    np.save("h.npy", np.eye(3))
    assert command("check", "net.yaml").err == ""


def test_check_prints_the_net_of_a_phase_as_yaml_that_is_a_net(command):
    answer = command("check", "configs/mlp.yaml", "--phase", "predict")
    layers = text.parse(answer.out)["layers"]
    assert [layer["type"] for layer in layers] == ["Input", "InnerProduct", "ReLU", "InnerProduct", "Softmax"]
    Path("printed.yaml").write_text(answer.out)
    assert command("check", "printed.yaml").status == 0


def test_check_expands_blocks(command):
    Path("blocks.yaml").write_text(
        "blocks:\n"
        "  fc:\n"
        "    args: {out: int}\n"
        "    layers:\n"
        "      - {name: ip, type: InnerProduct, bottom: $bottom, num_output: $out}\n"
        "      - {type: ReLU}\n"
        "layers:\n"
        "  - {name: data, type: Input, shape: [2, 3]}\n"
        "  - {block: fc, name: a, out: 4, repeat: 2}\n"
        "  - {name: sum, type: Eltwise, bottom: [a1, a]}\n"
    )
    answer = command("check", "blocks.yaml", "--expand")
    layers = text.parse(answer.out)["layers"]
    assert [layer["name"] for layer in layers] == ["data", "a1/ip", "a1/relu", "a2/ip", "a2/relu", "sum"]
    assert layers[3]["bottom"] == ["a1/relu"]
    assert layers[5]["bottom"] == ["a1/relu", "a2/relu"]
    Path("flat.yaml").write_text(answer.out)
    assert command("check", "flat.yaml").status == 0


def test_check_gives_each_phase_the_solvers_stages(command):
    Path("stages.yaml").write_text(
        "net:\n"
        "  layers:\n"
        "    - {name: data, type: Input, shape: [2, 3]}\n"
        "    - {name: extra, type: ReLU, include: {stage: more}}\n"
        "solver: {base_lr: 1, max_iter: 1, train_state: {stage: [more]}}\n"
    )
    assert "train 2" in command("check", "stages.yaml").out
    assert "2 layers" in command("summary", "stages.yaml").out
    assert "1 layer," in command("summary", "stages.yaml", "--phase", "test").out


# -- summary -------------------------------------------------------------------------------------------------------


def test_summary_of_lenet_has_caffes_numbers(command):
    lines = command("summary", "configs/lenet.yaml").out.splitlines()
    assert lines[0].split()[:4] == ["layer", "type", "output", "weights"]
    assert lines[2].split()[:4] == ["conv1", "Convolution", "64x20x24x24", "520"]
    assert lines[-3] == "9 layers, 431,080 weights (phase train)"


def test_summary_counts_a_shared_weight_once(command):
    Path("shared.yaml").write_text(
        "layers:\n"
        "  - {name: data, type: Input, shape: [2, 3]}\n"
        "  - {name: a, type: InnerProduct, num_output: 3, param: [{name: w}]}\n"
        "  - {name: b, type: InnerProduct, num_output: 3, param: [{name: w}]}\n"
    )
    lines = command("summary", "shared.yaml").out.splitlines()
    assert [line.split()[3] for line in lines[2:4]] == ["12", "3"]  # b has its bias alone
    assert lines[-3] == "3 layers, 15 weights (phase train)"


def test_summary_in_a_pipe_is_never_cut(command):
    name = "a_layer_with_a_name_so_long_that_no_terminal_has_room_for_it" * 3
    Path("long.yaml").write_text(f"layers:\n  - {{name: {name}, type: Input, shape: [2, 3]}}\n")
    assert name in command("summary", "long.yaml").out


def test_summary_shows_brackets_as_they_are(command):
    Path("odd.yaml").write_text('layers:\n  - {name: "[bold]x", type: Input, shape: [2, 3]}\n')
    assert "[bold]x" in command("summary", "odd.yaml").out


# -- new -----------------------------------------------------------------------------------------------------------


def test_new_lists_the_shipped_configs_with_their_titles(command):
    answer = command("new")
    assert answer.status == 0
    assert [line.split()[0] for line in answer.out.splitlines()] == list(SHIPPED)
    assert "handwritten digits" in answer.out


@pytest.mark.parametrize("name", [*SHIPPED, "mlp.yaml"])
def test_new_copies_a_config_that_checks(command, name):
    answer = command("new", name)
    path = Path(name).with_suffix(".yaml")
    told = f"configs/{path}"
    path = Path(path.name)
    assert answer.status == 0
    assert answer.out == ""
    assert f"wrote {path}" in answer.err
    assert command("check", str(path)).status == 0
    assert told not in path.read_text()  # the commands in its comments name the copy


def test_new_overwrites_nothing_unasked(command):
    Path("mlp.yaml").write_text("mine")
    answer = command("new", "mlp")
    assert (answer.status, answer.err) == (2, "mlp.yaml exists; --force overwrites it\n")
    assert Path("mlp.yaml").read_text() == "mine"
    assert command("new", "mlp", "--force").status == 0
    assert command("check", "mlp.yaml").status == 0


# -- real processes ------------------------------------------------------------------------------------------------


def test_help_and_import_are_light():
    shown = "import sys, {0}; print([m for m in ('numpy', 'pydantic', 'yaml', 'rich') if m in sys.modules])"
    assert python("-c", shown.format("layerkit")).stdout == "[]\n"
    assert python("-c", shown.format("layerkit.cli.main")).stdout == "[]\n"
    loaded = python("-X", "importtime", "-m", "layerkit", "--help")
    assert loaded.returncode == 0
    modules = {line.rpartition("|")[2].strip() for line in loaded.stderr.splitlines()}
    assert "layerkit.cli.main" in modules
    assert modules.isdisjoint({"numpy", "pydantic", "yaml", "safetensors", "layerkit.net"})


@pytest.mark.parametrize("arguments", [["summary", "configs/mlp.yaml"], ["train", "configs/mlp.yaml"]])
def test_a_reader_that_goes_away_ends_the_command_without_a_word(folder, arguments):
    script = (
        "import os, sys; read, write = os.pipe(); os.close(read); os.dup2(write, 1);"
        f"sys.argv = ['layerkit', *{arguments}]; from layerkit.cli.main import main; main()"
    )
    done = python("-c", script, cwd=folder)
    assert (done.returncode, done.stderr) == (141, "")


def test_the_command_as_a_module_ends_with_the_errors_status(folder):
    done = python("-m", "layerkit", "check", "none.yaml", cwd=folder)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "there is no file 'none.yaml'\n")
