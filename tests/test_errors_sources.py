"""Where a run comes from: `net:` as a path, --set, and the name of the run."""
# ruff: noqa: E501 (a sentence stands on one line)

from __future__ import annotations

from pathlib import Path

import pytest

from layerkit.errors import ConfigError
from layerkit.graph import load
from layerkit.spec import load_run

NET = "layers:\n  - {name: in, type: Input, shape: [4, 3]}\n  - {name: fc, type: InnerProduct, num_output: 2}\n"
RUN = f"net:\n  {NET.rstrip().replace(chr(10), chr(10) + '  ')}\nsolver: {{base_lr: 0.1, max_iter: 10}}\n"


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    """A folder with a net, a net that is wrong, files that are no nets, and a run that is to name one of them."""
    monkeypatch.chdir(tmp_path)
    Path("nets").mkdir()
    for name, written in {
        "good.yaml": NET,
        "bad.yaml": NET.replace("num_output", "num_outptu"),
        "torn.yaml": "layers: [",
        "misspelt.yaml": NET.replace("layers", "laers"),
        "run.yaml": RUN,
        "other.yaml": "colour: red\n",
        "solved.yaml": NET + "solver: {}\n",
    }.items():
        Path("nets", name).write_text(written)
    Path("run.yaml").write_text(RUN)


def said_of(*arguments, **options):
    with pytest.raises(ConfigError) as caught:
        load(*arguments, **options)
    return str(caught.value).split("\n")


# -- net: a path ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "sentences"),
    [
        ("gone.yaml", ["run.yaml:1:6: net: there is no file 'gone.yaml'"]),
        ("nets", ["run.yaml:1:6: net: there is no file 'nets'"]),
        ("''", ["run.yaml:1:6: net: there is no file '.'"]),
        ("nets/other.yaml", ["run.yaml:1:6: net: 'nets/other.yaml' is no net: it has no 'layers:'"]),
        ("nets/run.yaml", ["run.yaml:1:6: net: 'nets/run.yaml' is no net: it has no 'layers:'"]),
        ("nets/torn.yaml", ["nets/torn.yaml:1:10: the text ends before a bracket is closed"]),
        ("nets/misspelt.yaml", ["nets/misspelt.yaml:1:1: net: unknown field 'laers'; did you mean 'layers'?"]),
        ("nets/solved.yaml", ["nets/solved.yaml:4:1: net: unknown field 'solver'"]),
        (
            "nets/bad.yaml",
            ["nets/bad.yaml:3:36: layer 'fc' (InnerProduct): unknown field 'num_outptu'; did you mean 'num_output'?"],
        ),
    ],
)
def test_a_net_in_a_file_of_its_own_that_is_wrong(path, sentences):
    Path("run.yaml").write_text(f"net: {path}\n")
    assert said_of("run.yaml") == sentences


def test_what_else_is_wrong_is_said_in_the_same_go():
    Path("run.yaml").write_text("net: gone.yaml\nsolver: {base_lr: 0.1, max_itr: 10}\n")
    assert said_of("run.yaml") == [
        "run.yaml:1:6: net: there is no file 'gone.yaml'",
        "run.yaml:2:24: solver: unknown field 'max_itr'; did you mean 'max_iter'?",
    ]


def test_a_path_counts_from_the_folder_of_the_file_that_names_it():
    Path("nets/naming.yaml").write_text("net: good.yaml\n")
    assert [node.name for node in load("nets/naming.yaml").graphs["train"].nodes] == ["in", "fc"]


def test_a_path_in_an_override_counts_from_the_current_folder():
    Path("nets/naming.yaml").write_text("net: good.yaml\n")
    run = load_run("nets/naming.yaml", ["net=nets/good.yaml"])
    assert run.resolved()["net"]["layers"][1]["num_output"] == 2
    sentence = "--set net=good.yaml: net: there is no file 'good.yaml'"
    assert said_of("nets/naming.yaml", overrides=["net=good.yaml"]) == [sentence]


# -- --set ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("assignment", "sentence"),
    [
        ("solver.base_lr", "not of the form a.b=value"),
        ("=3", "not of the form a.b=value"),
        ("solver..base_lr=3", "not of the form a.b=value"),
        ("sovler.base_lr=3", "unknown field 'sovler'; did you mean 'solver'?"),
        ("solver.base_rl=3", "solver: unknown field 'base_rl'; did you mean 'base_lr'?"),
        ("solver.base_lr=fast", "solver: base_lr must be a number, not 'fast'"),
        ("solver.base_lr=", "solver: base_lr must be a number, not nothing"),
        ("solver.base_lr=[", "the text ends before a bracket is closed"),
        ("solver.base_lr=!!python/name:os.system x", "the tag !!python/name:os.system is not allowed; a config holds only plain values"),
        ("solver.base_lr.x=3", "solver.base_lr is no mapping, so there is nothing to set in it"),
        ("solver.base_lr.x.y=3", "solver.base_lr is a single value, so there is no 'x' in it"),
        ("net.layers.fcc.num_output=3", "no layer in net.layers has the name 'fcc'; did you mean 'fc'?"),
        ("net.layers.7.num_output=3", "no layer in net.layers has the name '7'; there are: in, fc"),
        ("net.layers.fc=3", "net.layers is no mapping, so there is nothing to set in it"),
        ("net.layers=3", "net: layers must be a list, not 3"),
        ("net.layers.fc.num_output=two", "layer 'fc' (InnerProduct): num_output must be a whole number, not 'two'"),
        ("net.layers.fc.num_ouput=2", "layer 'fc' (InnerProduct): unknown field 'num_ouput'; did you mean 'num_output'?"),
        ("net.layers.fc.type=InnerProdct", "layer 'fc' (InnerProdct): there is no layer type 'InnerProdct'; did you mean 'InnerProduct'?"),
        ("net.layers.fc.weight_filler.type=xaver", "layer 'fc' (InnerProduct): weight_filler.type must be one of constant, uniform, gaussian, xavier, msra, positive_unitball, bilinear, not 'xaver'; did you mean 'xavier'?"),
        ("net.layers.fc.axis=5", "layer 'fc' (InnerProduct): axis 5 does not exist in a bottom of shape 4x3"),
    ],
)  # fmt: skip
def test_an_override_that_is_wrong(assignment, sentence):
    assert said_of("run.yaml", overrides=[assignment]) == [f"--set {assignment}: {sentence}"]


def test_overrides_that_are_wrong_are_said_in_one_go():
    assert said_of("run.yaml", overrides=["solver.base_lr=x", "what", "net.layers.fc.num_output=0"]) == [
        "--set net.layers.fc.num_output=0: layer 'fc' (InnerProduct): num_output must be greater than 0, not 0",
        "--set solver.base_lr=x: solver: base_lr must be a number, not 'x'",
        "--set what: not of the form a.b=value",
    ]


def test_overrides_reach_values_layers_and_what_is_not_there_yet():
    overrides = [
        "solver.base_lr=1e-3",
        "solver.stepvalue=[3, 5]",
        "net.layers.fc.weight_filler.type=xavier",
        "net.layers.fc.num_output={train: 3, test: 4}",
        "name=trial 2",
    ]
    run = load_run("run.yaml", overrides)
    assert run.name == "trial 2"
    assert run.solver.base_lr == 0.001
    assert run.solver.stepvalue == [3, 5]
    layer = {"name": "fc", "type": "InnerProduct", "num_output": {"train": 3, "test": 4}}
    assert run.resolved()["net"]["layers"][1] == {**layer, "weight_filler": {"type": "xavier"}}


@pytest.mark.parametrize("prefix", ["", "net."])
def test_overrides_of_a_file_that_is_a_net_name_what_stands_in_it(prefix):
    run = load_run("nets/good.yaml", [f"{prefix}layers.fc.num_output=7", "name=x", f"{prefix}force_backward=true"])
    assert run.resolved()["net"]["layers"][1]["num_output"] == 7
    assert (run.name, run.net.force_backward) == ("x", True)


# -- names ---------------------------------------------------------------------------------------------------------

REFUSED = ("cannot name the run's folder: use letters, digits, spaces and . _ + -, at most 100 of them, and no dot at the start")  # fmt: skip


@pytest.mark.parametrize(
    "name", ["../x", "..", ".", "/x", "a/b", "a\\b", "C:x", ".hidden", " x", "a\nb", "a*", "x" * 101, "a\0"]
)
def test_a_name_that_cannot_be_a_folder(name):
    assert said_of({"name": name, "layers": [{"name": "x", "type": "Input", "shape": [1]}]}) == [
        f"name: {name!r} {REFUSED}"
    ]


@pytest.mark.parametrize("name", ["mlp", "lenet-5 v2.1+drop_out", "Übung", "1", "-x", "x" * 100])
def test_a_name_that_can(name):
    assert load_run({"name": name, "layers": [{"name": "x", "type": "Input", "shape": [1]}]}).name == name


@pytest.mark.parametrize(
    ("file", "name"), [("a.yaml", "a"), ("a b.c.yaml", "a b.c"), ("a:b*.yaml", "a-b-"), (".x.yaml", "x")]
)
def test_a_run_without_a_name_has_its_files(file, name):
    Path(file).write_text(NET)
    assert load_run(file).name == name
    assert load_run(NET).name == "run"
