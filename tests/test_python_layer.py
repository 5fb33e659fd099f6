"""Python: a user's class in a net, only where that is allowed; its gradients, weights, shapes and errors."""

import sys
import textwrap

import numpy as np
import pytest

import layerkit as lk
from layerkit.checks import CHECKS, Case
from layerkit.errors import ConfigError, SnapshotError, UsageError
from layerkit.graph import _build_body
from layerkit.layer import Body
from layerkit.layers.python.blobs import CaffeBlob
from layerkit.spec import NetState, load_run

CAFFE = "class Layer:\n    pass\n"

EUCLIDEAN = """
    import caffe
    import numpy as np

    class Euclidean(caffe.Layer):
        '''Half the mean squared distance; adds to the diffs, as Caffe lets it.'''

        def setup(self, bottom, top):
            if len(bottom) != 2:
                raise Exception("two bottoms are needed")

        def reshape(self, bottom, top):
            self.difference = np.zeros_like(bottom[0].data)
            top[0].reshape(1)

        def forward(self, bottom, top):
            self.difference[...] = bottom[0].data - bottom[1].data
            top[0].data[...] = np.sum(self.difference**2) / bottom[0].num / 2

        def backward(self, top, propagate_down, bottom):
            for blob, sign in zip(bottom, (1, -1)):
                blob.diff[...] += sign * top[0].diff[0] * self.difference / blob.num
"""

COUNTER = """
    class Counter:
        '''Numbers in turn, three a batch; label is their parity.'''

        def setup(self, bottom, top):
            self.next = int(self.param_str or 0)
            top[0].reshape(3, 2)
            top[1].reshape(3)

        def reshape(self, bottom, top):
            pass

        def forward(self, bottom, top):
            for row in range(3):
                top[0].data[row] = self.next
                top[1].data[row] = self.next % 2
                self.next += 1

        def backward(self, top, propagate_down, bottom):
            pass
"""

AFFINE = """
    import numpy as np

    class Affine:
        '''y = a x + b, one a and b a column.'''

        def setup(self, bottom, top):
            columns = bottom[0].shape[1]
            self.blobs.add_blob(columns)
            self.blobs.add_blob(columns)
            self.blobs[0].data[...] = np.arange(1, columns + 1)
            self.blobs[1].data[...] = -1

        def reshape(self, bottom, top):
            top[0].reshape(*bottom[0].data.shape)

        def forward(self, bottom, top):
            top[0].data[...] = self.blobs[0].data * bottom[0].data + self.blobs[1].data

        def backward(self, top, propagate_down, bottom):
            self.blobs[0].diff[...] += (top[0].diff * bottom[0].data).sum(axis=0)
            self.blobs[1].diff[...] += top[0].diff.sum(axis=0)
            if propagate_down[0]:
                bottom[0].diff[...] = self.blobs[0].data * top[0].diff
"""

KEEP = """
    class Keep:
        '''The rows that begin with a number above 0: as many as there are, of which reshape knows nothing.'''

        def setup(self, bottom, top):
            top[0].reshape(1, 2)

        def reshape(self, bottom, top):
            pass

        def forward(self, bottom, top):
            self.kept = bottom[0].data[:, 0] > 0
            top[0].reshape(int(self.kept.sum()), bottom[0].channels)
            top[0].data[...] = bottom[0].data[self.kept]

        def backward(self, top, propagate_down, bottom):
            bottom[0].diff[self.kept] = top[0].diff
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """`module(text)` writes a module into a folder on Python's path and returns its name, which is new each time."""
    folder = tmp_path / "modules"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    (folder / "caffe.py").write_text(CAFFE)

    def write(text: str) -> str:
        name = f"user_module_{len(list(folder.glob('*.py')))}"
        (folder / f"{name}.py").write_text(textwrap.dedent(text))
        return name

    yield write
    for name in set(sys.modules) - before:
        if name == "caffe" or name.startswith("user_module_"):
            del sys.modules[name]


class Allowed(lk.layer_class("Python")):
    """For the checks of a single layer, which stand in for a net that allows it."""

    allow_python = True


def net(*layers, phase="train", **options):
    return lk.Net({"layers": list(layers)}, phase, allow_python=True, **options)


def user(module, layer, name="user", **fields):
    return {"name": name, "type": "Python", "module": module, "layer": layer, **fields}


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


# --- permission ---

TATTLE = """
    from pathlib import Path
    Path("imported").touch()

    class Same:
        def setup(self, bottom, top):
            pass
        def reshape(self, bottom, top):
            top[0].reshape(*bottom[0].shape)
        def forward(self, bottom, top):
            top[0].data[...] = bottom[0].data
        def backward(self, top, propagate_down, bottom):
            bottom[0].diff[...] = top[0].diff
"""


def run_text(module):
    return f"""
name: run
net:
  layers:
    - {{name: digits, type: Data, top: [data, label], dataset: digits, batch_size: {{train: 20, test: 90}}}}
    - {{name: same, type: Python, bottom: data, module: {module}, layer: Same}}
    - {{name: fc, type: InnerProduct, num_output: 10, weight_filler: xavier}}
    - {{name: loss, type: SoftmaxWithLoss, bottom: [fc, label]}}
solver: {{base_lr: 0.01, max_iter: 2, test_interval: 2, snapshot: 2}}
"""


def test_nothing_is_imported_without_permission(module, folder):
    text = run_text(module(TATTLE))
    for make in (lk.Net, lk.Solver):
        with pytest.raises(ConfigError) as caught:
            make(text)
        (problem,) = {str(problem) for problem in caught.value.problems}
        assert "layer 'same' (Python): it would run code, the class 'Same' of the module 'user_module_1'" in problem
        assert "allow_python=True in Python, --allow-python on the command line" in problem
    assert not (folder / "imported").exists()
    lk.Net(text, allow_python=True)
    assert (folder / "imported").exists()


def test_permission_reaches_bodies(module):
    body = Body("b", [user(module(TATTLE), "Same", bottom="x")], {"x": (2, 3)}, ["user"])
    with pytest.raises(ConfigError, match="must be allowed"):
        _build_body(NetState(), body)
    built = _build_body(NetState(allow_python=True), body)
    assert list(built.shapes.values()) == [(2, 3), (2, 3)]


def test_every_command_that_runs_a_net_asks(module, command, folder):
    (folder / "run.yaml").write_text(run_text(module(TATTLE)))
    weights = "runs/run/iter_2.safetensors"
    commands = (["train"], ["test", "--weights", weights], ["time", "--iterations", "1"], ["check"], ["summary"])
    for verb, *options in commands:
        answer = command(verb, "run.yaml", *options)
        assert answer.status == 2
        assert "must be allowed: allow_python=True in Python, --allow-python on the command line" in answer.err
        assert not (folder / "imported").exists()
    for verb, *options in commands:
        answer = command(verb, "run.yaml", *options, "--allow-python")
        assert answer.status == 0, answer.err
    with pytest.raises(SnapshotError, match="must be allowed"):
        lk.load(folder / weights)
    assert lk.load(folder / weights, allow_python=True).outputs == ["prob"]
    answer = command("check", "run.yaml", "--phase", "predict", "--allow-python")
    assert "type: Python" in answer.out


def test_a_solver_from_a_run_asks_too(module):
    run = load_run(run_text(module(TATTLE)))
    with pytest.raises(ConfigError, match="must be allowed"):
        lk.Solver(run)
    solver = lk.Solver(run, allow_python=True)
    assert solver.predict_missing is None


# --- errors ---


def broken(method, body):
    lines = dict.fromkeys(("setup", "reshape", "forward", "backward"), "pass") | {method: body}
    text = "import numpy as np\nclass Broken:\n"
    for name, given in (("setup", "bottom, top"), ("reshape", "bottom, top"), ("forward", "bottom, top")):
        text += f"    def {name}(self, {given}):\n        {lines[name]}\n"
    return text + f"    def backward(self, top, propagate_down, bottom):\n        {lines['backward']}\n"


@pytest.mark.parametrize(
    ("method", "body", "match"),
    [
        ("setup", "raise ValueError('two\\n lines')", r"Broken.setup raised ValueError: two lines \(.*, line 4\)"),
        ("setup", "1 / 0", r"Broken.setup raised ZeroDivisionError: division by zero"),
        ("setup", "bottom[0].data[...] = 1", "Broken.setup raised ValueError: assignment destination is read-only"),
        ("reshape", "raise AssertionError", r"Broken.reshape raised AssertionError \(.*user_module_1.py, line 6\)"),
        ("reshape", "bottom[0].reshape(1)", "Broken.reshape raised ShapeError: only tops can be reshaped"),
        ("reshape", "self.blobs.add_blob(1)", "Broken.reshape raised ShapeError: weights can be added in setup only"),
        ("reshape", "top[0].reshape('a')", "Broken.reshape raised ValueError: invalid literal"),
        ("forward", "top[0].data = 3", "Broken.forward raised AttributeError: .* has no setter"),
        ("forward", "np.zeros((2, 3)) @ np.zeros((2, 3))", r"Broken.forward raised ValueError: .*line 8\)"),
        ("backward", "None.x", r"Broken.backward raised AttributeError: 'NoneType' .*line 10\)"),
    ],
)
def test_what_a_class_raises_becomes_one_sentence(module, method, body, match):
    text = broken(method, body)
    layers = {"name": "x", "type": "Input", "shape": [2, 3]}, user(module(text), "Broken", bottom="x")

    def passes():
        built = net(*layers)
        built.forward(x=np.zeros((2, 3)))
        built.backward(user=np.zeros(()))

    with pytest.raises(lk.LayerkitError, match=match) as caught:
        passes()
    assert "\n" not in str(caught.value)
    assert "layer 'user' (Python): " in str(caught.value)


@pytest.mark.parametrize(
    ("text", "layer", "match"),
    [
        ("class Broken:\n    forward = 1\n", "Brokn", "has no layer class 'Brokn'; did you mean 'Broken'"),
        ("x = 1", "x", "has no layer class 'x'"),
        (
            "class A:\n    def forward(self): pass\n",
            "A",
            "the class 'A' of the module 'user_module_1' has no method 'set",
        ),
        ("def f(:\n", "A", "importing the module 'user_module_1' raised SyntaxError"),
        ("x = 1\ny = x.z\n", "A", r"raised AttributeError: .* \(.*user_module_1.py, line 2\)"),
        ("import caffee\n", "A", r"raised ModuleNotFoundError: No module named 'caffee' \(.*, line 1\)"),
        (
            broken("setup", "pass").replace("class Broken:", "class Broken:\n    def __init__(self, x):\n        pass"),
            "Broken",
            "making a Broken raised TypeError",
        ),
    ],
)
def test_a_class_that_cannot_be_had(module, text, layer, match):
    with pytest.raises(ConfigError, match=match) as caught:
        net({"name": "x", "type": "Input", "shape": [2]}, user(module(text), layer, bottom="x"))
    assert "\n" not in str(caught.value)


def test_a_module_that_is_not_there(module):
    for name, missing in (("no_such_module", "no_such_module"), ("no_such.module", "no_such")):
        with pytest.raises(
            ConfigError, match=f"there is no module '{missing}' on Python's path; its folder must be in"
        ):
            net({"name": "x", "type": "Input", "shape": [2]}, user(name, "A", bottom="x"))


def test_a_net_that_a_layer_no_longer_fits_says_so(module):
    net_ = net({"name": "x", "type": "Input", "shape": [4, 3]}, user(module(EUCLIDEAN), "Euclidean", bottom=["x", "x"]))
    net_.layers["user"]._user.reshape = lambda bottom, top: 1 / 0
    with pytest.raises(UsageError, match=r"Euclidean\.reshape raised ZeroDivisionError"):
        net_.forward(x=np.ones((4, 3)))
