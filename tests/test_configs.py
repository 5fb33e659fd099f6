"""The shipped configs: each checks, is what its comments say, and trains."""

import gzip
import re
import struct

import numpy as np
import pytest
from config_tools import FOLDER, config, told_in_python

import layerkit as lk
from layerkit.graph import build
from layerkit.spec import load_run

CONFIGS = sorted(path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.rglob("*.yaml"))
LECTURE = [name for name in CONFIGS if name.startswith("lecture/")]
PHASES = ("train", "test", "predict")
TRAINED = ("lenet", "mlp", "lecture/sigmoid_perceptron")
TOLD = ("lenet", "mlp", "char_transformer", "lstm_sequence", "spirals")


@pytest.fixture
def small_mnist(tmp_path) -> str:
    """A folder of MNIST's four files, 200 images to train with and 100 to test with, some gzipped."""
    rng = np.random.default_rng(0)
    for prefix, count in (("train", 200), ("t10k", 100)):
        labels = np.arange(count, dtype=np.uint8) % 10
        images = rng.integers(0, 60, (count, 28, 28), dtype=np.uint8)
        images[np.arange(count), 4 + 2 * labels] += 150  # a bright row whose height is the digit
        header = struct.pack(">4i", 0x803, count, 28, 28)
        (tmp_path / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + images.tobytes(), 1))
        (tmp_path / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 0x801, count) + labels.tobytes())
    return str(tmp_path)


# -- all of them ---------------------------------------------------------------------------------------------------


def test_these_are_the_shipped_configs():
    assert [
        *("alexnet", "autoencoder", "caffenet", "char_transformer", "cifar10_full", "cifar10_quick"),
        *("googlenet", *LECTURE, "lenet", "lstm_body", "lstm_sequence", "mlp", "mobilenet_v2", "ntm_copy"),
        *("ntm_copy_lstm", "resnet18", "resnet50"),
        *("segmentation", "siamese", "spirals", "vgg16"),
    ] == CONFIGS


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_reads_well(name):
    lines = config(name).read_text().splitlines()
    assert lines[0] == f"# yaml-language-server: $schema={'../' * name.count('/')}schema.json"  # for editors
    assert re.match(r"# \w.*\.$", lines[1])  # its title, which `layerkit new` lists
    assert max(map(len, lines)) <= 120
    assert any(line.startswith("# To try next") for line in lines)
    assert load_run(config(name)).name == config(name).stem  # so that its runs go to runs/<the file's name>


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("name", CONFIGS)
def test_every_phase_of_a_config_can_be_built(name, phase):
    graph = build(load_run(config(name)).net, phase)
    assert graph.nodes
    assert graph.outputs


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_checks_and_can_be_summed_up(command, name):
    assert command("check", f"configs/{name}.yaml").status == 0
    assert command("summary", f"configs/{name}.yaml").status == 0


@pytest.mark.parametrize("name", [*TOLD, *LECTURE])
def test_what_its_comments_tell_to_try_can_be_tried(command, small_mnist, name):
    """Every `layerkit` command in a config's comments runs; trainings are cut to a few iterations."""
    told = re.findall(r"^#\s+layerkit (\w+ configs/\S+(?: --\S+ \S+)*)", config(name).read_text(), re.MULTILINE)
    assert told or load_run(config(name)).solver is None
    for line in told:
        arguments = line.split()
        if arguments[0] == "train":
            arguments += ["--set", "solver.max_iter=2", "--set", "solver.test_iter=1"]
        if name == "lenet":
            arguments += ["--set", f"net.layers.mnist.source={small_mnist}"]
        assert command(*arguments).status == 0


@pytest.mark.parametrize("name", TRAINED)
def test_a_snapshot_of_it_predicts(small_mnist, tmp_path, name):
    more = [f"net.layers.mnist.source={small_mnist}", "solver.test_iter=1"] if name == "lenet" else []
    solver = lk.Solver(config(name), folder=tmp_path, overrides=["solver.max_iter=3", *more])
    solver.solve()
    solver.close()
    net = lk.load(tmp_path / "iter_3.safetensors")
    pixels = np.ones(net.blobs["data"].shape[1:])
    answer = net.predict(pixels)
    if name == "lecture/sigmoid_perceptron":
        assert 0 < answer.item() < 1
    else:
        assert answer in "0123456789"
        assert np.allclose(net.forward(data=pixels[None])["prob"].sum(), 1)


# -- mlp -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_mlp_reads_digits(seed):
    solver = lk.Solver(config("mlp"), overrides=[f"solver.random_seed={seed}"])
    outputs = solver.solve()
    solver.close()
    assert outputs["accuracy"] >= 0.97


# -- spirals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2])
def test_a_small_net_tells_spirals_apart(seed):
    solver = lk.Solver(config("spirals"), overrides=[f"solver.random_seed={seed}", "solver.test_interval=0"])
    before, after = solver.test(), solver.solve()
    assert before["accuracy"] < 0.7
    assert after["accuracy"] >= 0.97
    solver.close()


# -- lenet ---------------------------------------------------------------------------------------------------------


def test_lenet_is_caffes():
    run = load_run(config("lenet"))
    nodes = {node.name: node for node in build(run.net, "train").nodes}
    shapes = {name: [weight.shape for weight in node.plan.weights] for name, node in nodes.items()}
    assert {name: shape for name, shape in shapes.items() if shape} == {
        "conv1": [(20, 1, 5, 5), (20,)],
        "conv2": [(50, 20, 5, 5), (50,)],
        "ip1": [(500, 800), (500,)],
        "ip2": [(10, 500), (10,)],
    }
    for name in ("conv1", "conv2", "ip1", "ip2"):
        assert [param.lr_mult for param in nodes[name].spec.param] == [1, 2]
        assert [weight.filler.type for weight in nodes[name].plan.weights] == ["xavier", "constant"]
    assert nodes["mnist"].spec.params.scale == 1 / 256
    assert nodes["mnist"].spec.params.batch_size == 64
    solver = run.solver.model_dump(exclude_unset=True)
    assert solver == {
        "base_lr": 0.01,
        "momentum": 0.9,
        "weight_decay": 0.0005,
        "lr_policy": "inv",
        "gamma": 0.0001,
        "power": 0.75,
        "display": 100,
        "max_iter": 10000,
        "test_iter": [100],
        "test_interval": 500,
        "snapshot": 5000,
    }


def test_lenet_learns(small_mnist):
    overrides = [f"net.layers.mnist.source={small_mnist}", "solver.max_iter=40", "solver.test_iter=all"]
    solver = lk.Solver(config("lenet"), overrides=overrides)
    outputs = solver.solve()
    solver.close()
    assert outputs["accuracy"] >= 0.95


# -- autoencoder ---------------------------------------------------------------------------------------------------


def test_the_autoencoder_draws_digits_from_16_numbers():
    solver = lk.Solver(config("autoencoder"), overrides=["solver.max_iter=3000"])
    before, after = solver.test(), solver.solve()
    assert before["error"] > 5  # of 64 pixels
    assert after["error"] < 1
    assert solver.net.blobs["code"].shape == (64, 16)
    solver.close()


# -- siamese -------------------------------------------------------------------------------------------------------


def test_the_siamese_nets_share_their_weights_and_learn_what_is_the_same():
    solver = lk.Solver(config("siamese"), overrides=["solver.max_iter=400"])
    left, right = (solver.net.params[f"{side}_point/conv1"].weight for side in ("left", "right"))
    outputs = solver.solve()
    assert left.data.tobytes() == right.data.tobytes()
    assert outputs["accuracy"] > 0.8
    solver.close()


# -- segmentation --------------------------------------------------------------------------------------------------


def test_the_u_net_finds_figures():
    overrides = ["solver.max_iter=100", "solver.test_interval=0", "net.layers.shapes.batch_size.train=10"]
    solver = lk.Solver(config("segmentation"), overrides=overrides)
    before, after = solver.test(), solver.solve()
    assert before["mean_iou"] < 0.2
    assert after["mean_iou"] > 0.3
    assert after["accuracy"] > 0.8  # three quarters of the pixels are background
    crop = solver.net.layers["up1/crop"]
    assert solver.net.blobs["up1/grow"].shape == (10, 12, 34, 34)
    assert solver.net.blobs["up1/crop"].shape == (10, 12, 32, 32)
    assert crop.params.offset == [1]
    solver.close()


# -- lstm_sequence -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_gates_hold_a_bit_for_many_steps(kind):
    solver = lk.Solver(config("lstm_sequence"), overrides=[f"net.layers.lstm.type={kind}", "solver.max_iter=400"])
    before, after = solver.test(), solver.solve()
    assert before["accuracy"] < 0.6
    assert after["accuracy"] >= 0.97
    solver.close()


def test_a_cell_written_out_is_the_layer():
    """From the same weights both runs go the same way, but for their last digits."""
    losses = {}
    for name in ("lstm_sequence", "lstm_body"):
        solver = lk.Solver(config(name), overrides=["solver.random_seed=3", "solver.test_interval=0"])
        layer = solver.net.params["lstm"]
        if name == "lstm_sequence":
            from_x, _, from_h = (blob.data.copy() for blob in layer)
            scores = solver.net.params["scores"].weight.data.copy()
        layer[0].data[...], layer[-1].data[...] = from_x, from_h
        solver.net.params["scores"].weight.data[...] = scores
        losses[name] = [solver.step(1) for _ in range(4)]
        solver.close()
    assert losses["lstm_body"] == pytest.approx(losses["lstm_sequence"], rel=1e-4)


# -- ntm_copy ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("controller", ["ntm_copy", "ntm_copy_lstm"])
def test_a_neural_turing_machine_begins_to_copy(controller):
    solver = lk.Solver(config(controller), overrides=["net.layers.sequences.dataset.max_length=2"])
    before = solver.test()
    solver.step(60)
    after = solver.test()
    assert before["loss"] == pytest.approx(np.log(2), abs=0.02)
    assert after["loss"] < before["loss"] - 0.04
    assert after["wrong_bits"] < 0.8 * before["wrong_bits"]
    for looks in ("writes_at", "reads_at"):
        weights = solver.net.blobs[looks].data  # (steps, sequences, slots)
        np.testing.assert_allclose(weights.sum(axis=2), 1, atol=1e-5)
        assert weights.min() >= 0
    solver.close()


# -- char_transformer ----------------------------------------------------------------------------------------------


def test_a_smaller_transformer_learns_more_than_how_often_characters_stand():
    solver = lk.Solver(
        config("char_transformer"),
        overrides=["net.layers.block.repeat=1", "net.layers.text.batch_size.train=16", "solver.max_iter=120"],
    )
    before, after = solver.test(), solver.solve()
    assert before["loss"] > 4
    assert after["loss"] < 2.9  # of a net that knows how often each stands: 3.2
    assert after["accuracy"] > 0.2
    solver.close()


def test_the_transformer_writes(folder, capsys):
    runs = folder / "runs" / "char_transformer"
    runs.mkdir(parents=True)
    solver = lk.Solver(config("char_transformer"))
    solver.snapshot(runs / "iter_2000")
    solver.close()
    exec(told_in_python("char_transformer"), {})
    written = capsys.readouterr().out
    assert written.startswith("Ham.\nTo be, ")
    assert len(written) == 301
