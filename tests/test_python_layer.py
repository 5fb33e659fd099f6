"""Python: a user's class in a net: its gradients, weights, shapes and phases."""

import numpy as np
import pytest
from python_modules import AFFINE, COUNTER, EUCLIDEAN, KEEP, modules, net, user  # noqa: F401

import layerkit as lk
from layerkit.checks import CHECKS, Case
from layerkit.errors import SnapshotError
from layerkit.layers.python.blobs import CaffeBlob


class Allowed(lk.layer_class("Python")):
    """For the checks of a single layer, which stand in for a net that allows it."""

    allow_python = True


# --- the contract ---


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_class_with_weights_keeps_the_contract(module, check):
    params = {"module": module(AFFINE), "layer": "Affine"}
    formula = lambda bottoms, weights, _: [weights[0] * bottoms[0] + weights[1]]  # noqa: E731
    check(Case(Allowed, "affine", [(5, 3)], params, formula=formula))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_class_that_adds_to_its_diffs_keeps_the_contract(module, check):
    params = {"module": module(EUCLIDEAN), "layer": "Euclidean"}
    formula = lambda b, w, p: [[((b[0] - b[1]) ** 2).sum() / (2 * len(b[0]))]]  # noqa: E731
    check(Case(Allowed, "euclidean", [(4, 3, 2), (4, 3, 2)], params, formula=formula, no_zero_rows="divides by rows"))


# --- in a net ---


def test_a_loss_written_for_caffe_trains_as_the_built_in_one(module):
    def trained(loss):
        given = [{"name": name, "type": "Input", "shape": [6, 4]} for name in ("x", "y")]
        fc = {"name": "fc", "type": "InnerProduct", "bottom": "x", "num_output": 4, "weight_filler": "xavier"}
        net_ = net(*given, fc, {"name": "loss", "bottom": ["fc", "y"], **loss}, dtype="float64")
        rng = np.random.default_rng(0)
        net_.forward(x=rng.normal(size=(6, 4)), y=rng.normal(size=(6, 4)))
        net_.backward()
        return net_.loss, net_.params["fc"].weight.diff

    ours = trained({"type": "EuclideanLoss", "loss_weight": 3})
    theirs = trained({"type": "Python", "module": module(EUCLIDEAN), "layer": "Euclidean", "loss_weight": 3})
    assert theirs[0] == pytest.approx(ours[0], rel=1e-12)
    np.testing.assert_allclose(theirs[1], ours[1], rtol=1e-10)


def test_a_class_may_write_diffs_that_nobody_asked_for(module):
    name = module(EUCLIDEAN)
    layers = [{"name": each, "type": "Input", "shape": [2, 3]} for each in ("x", "y")]
    layers += [{"name": "p", "type": "Power", "bottom": "x", "scale": 2}]
    net_ = net(*layers, user(name, "Euclidean", bottom=["p", "y"], propagate_down=[True, False], loss_weight=1))
    net_.forward(x=np.ones((2, 3)), y=np.zeros((2, 3)))
    net_.blobs["y"].diff[...] = 7
    net_.backward(user=np.ones(1))
    assert net_.blobs["y"].diff.tolist() == [[7] * 3] * 2
    assert net_.blobs["x"].diff.tolist() == [[2] * 3] * 2


def test_a_data_layer_reads_on_and_gives_way_to_what_is_given(module):
    layers = [
        user(module(COUNTER), "Counter", param_str="4", top=["data", "label"]),
        {"name": "twice", "type": "Power", "bottom": "data", "scale": 2},
        {"name": "loss", "type": "EuclideanLoss", "bottom": ["twice", "data"]},
        {"name": "s", "type": "Silence", "bottom": "label"},
    ]
    net_ = net(*layers)
    for first in (4, 7):
        net_.forward()
        assert net_.blobs["twice"].data[:, 1].tolist() == [2 * first, 2 * first + 2, 2 * first + 4]
        assert net_.blobs["label"].data.tolist() == [first % 2, (first + 1) % 2, first % 2]
    net_.forward(data=np.ones((5, 2)), label=np.ones(5))
    assert net_.blobs["twice"].data.tolist() == [[2, 2]] * 5
    predict = net(*layers, phase="predict")
    assert [type(layer).__name__ for layer in predict.layers.values()] == ["Input", "Power"]
    assert predict.forward(data=np.ones((4, 2)))["twice"].tolist() == [[2, 2]] * 4


def test_the_phase_and_the_text_are_told(module):
    name = module("""
        class Told:
            def setup(self, bottom, top):
                self.told = [self.phase, len(self.param_str)]
            def reshape(self, bottom, top):
                top[0].reshape(2)
            def forward(self, bottom, top):
                top[0].data[...] = self.told
            def backward(self, top, propagate_down, bottom):
                pass
    """)
    x = {"name": "x", "type": "Input", "shape": [2]}
    for phase, number in (("train", 0), ("test", 1), ("predict", 1)):
        told = net(x, user(name, "Told", bottom="x", param_str="{'a': 1}"), phase=phase)
        assert told.forward(x=[0, 0])["user"].tolist() == [number, 8]


def test_weights_start_as_set_up_train_and_are_saved(module, tmp_path):
    run = {
        "name": "run",
        "net": {
            "layers": [
                {"name": "x", "type": "Input", "shape": [6, 3]},
                {"name": "y", "type": "Input", "shape": [6, 3]},
                user(module(AFFINE), "Affine", bottom="x", param=[{}, {"lr_mult": 0}]),
                {"name": "loss", "type": "EuclideanLoss", "bottom": ["user", "y"]},
            ]
        },
        "solver": {"base_lr": 0.1, "max_iter": 10},
    }
    solver = lk.Solver(run, allow_python=True)
    blobs = solver.net.params["user"]
    assert [blob.data.tolist() for blob in blobs] == [[1, 2, 3], [-1, -1, -1]]
    solver.net.blobs["x"].data[...] = 1
    solver.net.blobs["y"].data[...] = 4
    solver.step(60)
    np.testing.assert_allclose(blobs.blob0.data, [5, 5, 5], atol=0.01)
    assert blobs.blob1.data.tolist() == [-1, -1, -1]

    path = solver.snapshot(tmp_path / "kept")
    with pytest.raises(SnapshotError, match=r"layer 'user' \(Python\): it would run code.*allow_python=True"):
        lk.load(path)
    loaded = lk.load(path, allow_python=True)
    np.testing.assert_allclose(loaded.forward(x=np.zeros((2, 3)))["user"], [[-1] * 3] * 2)
    np.testing.assert_array_equal(loaded.params["user"].blob0.data, blobs.blob0.data)


@pytest.mark.parametrize("keep", ["all", ()])
def test_tops_may_outgrow_what_was_planned(module, keep):
    layers = [
        {"name": "x", "type": "Input", "shape": [5, 2]},
        user(module(KEEP), "Keep", bottom="x"),
        {"name": "fc", "type": "InnerProduct", "num_output": 3, "weight_filler": {"type": "constant", "value": 2}},
        {"name": "relu", "type": "ReLU"},
    ]
    net_ = net(*layers, keep=keep)
    assert net_.graph.nodes[1].plan.tops == [(1, 2)]
    for rows in (1, 4, 2, 0, 5, 5, 1):
        x = np.where(np.arange(5) < rows, 1.0, -1.0)[:, None] * np.array([1, 3])
        out = net_.forward(x=x)["relu"]
        assert out.tolist() == [[8.0] * 3] * rows
        back = net_.backward(relu=np.ones((rows, 3)))["x"]
        assert back.tolist() == [[6.0] * 2] * rows + [[0.0] * 2] * (5 - rows)
        assert net_.params["fc"].weight.diff.tolist() == [[rows, 3 * rows]] * 3


def test_a_data_layer_may_give_another_shape_each_time(module):
    name = module("""
        import numpy as np

        class Grow:
            def setup(self, bottom, top):
                self.passes = 0

            def reshape(self, bottom, top):
                self.passes += 1
                rows = 1 + 3 * self.passes % 7
                top[0].reshape(rows, 3, 2 + self.passes % 4, 5)
                top[1].reshape(rows)

            def forward(self, bottom, top):
                top[0].data[...] = np.random.default_rng(self.passes).normal(size=top[0].shape)
                top[1].data[...] = 0

            def backward(self, top, propagate_down, bottom):
                pass
    """)
    layers = [
        user(name, "Grow", top=["data", "label"]),
        {"name": "c1", "type": "Convolution", "num_output": 4, "kernel_size": 3, "pad": 1, "weight_filler": "xavier"},
        {"name": "relu", "type": "ReLU", "top": "c1"},
        {"name": "c2", "type": "Convolution", "num_output": 4, "kernel_size": 1, "weight_filler": "xavier"},
        {"name": "sum", "type": "Eltwise", "bottom": ["c1", "c2"]},
        {"name": "pool", "type": "Pooling", "pool": "AVE", "global_pooling": True},
        {"name": "fc", "type": "InnerProduct", "num_output": 2, "weight_filler": "xavier"},
        {"name": "loss", "type": "SoftmaxWithLoss", "bottom": ["fc", "label"]},
    ]
    nets = [net(*layers, engine=engine, keep=keep) for engine in ("numpy", "auto") for keep in ("all", ())]
    for count in range(2, 10):
        for each in nets:
            each.forward()
            each.backward()
            assert each.blobs["data"].shape == (1 + 3 * count % 7, 3, 2 + count % 4, 5)
            assert each.loss == pytest.approx(nets[0].loss, rel=1e-5)
            np.testing.assert_allclose(each.flat.diff, nets[0].flat.diff, atol=1e-5)


def test_another_batch_size_is_planned_anew(module):
    net_ = net({"name": "x", "type": "Input", "shape": [4, 3]}, user(module(AFFINE), "Affine", bottom="x"))
    for rows in (2, 9):
        assert net_.forward(x=np.ones((rows, 3)))["user"].tolist() == [[0, 1, 2]] * rows


def test_blobs_have_caffes_names():
    blob = CaffeBlob(lk.Blob((2, 3, 4)))
    assert (blob.num, blob.channels, blob.height, blob.width) == (2, 3, 4, 1)
    assert (blob.count, blob.shape, blob.data.shape) == (24, (2, 3, 4), (2, 3, 4))
    blob.reshape(5, 6, 7, np.int64(8))
    assert blob.shape == blob.diff.shape == blob.data.shape == (5, 6, 7, 8)
    assert blob.width == 8
    assert not blob.diff.any()
