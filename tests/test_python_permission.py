"""Python: code runs only where that is allowed, and what it raises becomes one sentence."""

import numpy as np
import pytest
from python_modules import AFFINE, EUCLIDEAN, modules, net, user  # noqa: F401

import layerkit as lk
from layerkit.errors import ConfigError, SnapshotError, UsageError
from layerkit.graph import _build_body
from layerkit.layer import Body
from layerkit.spec import NetState, load_run

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


def test_permission_reaches_bodies(module, folder):
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


def test_a_solver_from_a_run_asks_too(module, folder):
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
        ("reshape", "bottom[0].reshape(1)", "Broken.reshape raised UsageError: only tops can be reshaped"),
        ("reshape", "self.blobs.add_blob(1)", "Broken.reshape raised UsageError: weights can be added in setup only"),
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
