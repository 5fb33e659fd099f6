"""Layers with bodies as ONNX models, beyond what their rows of cases try."""

import numpy as np
import pytest
from onnx_tools import Session, compare_answers

import layerkit as lk
from layerkit.convert.onnx.exporting import build, check
from layerkit.errors import ConfigError

FILLED = {"weight_filler": {"type": "uniform", "min": -1, "max": 1}}
FC = {"type": "InnerProduct", "num_output": 4, **FILLED}
TURNED = [
    {"name": "data", "type": "Input", "shape": [2, 5, 4]},  # (N, T, K)
    {"name": "x", "type": "Permute", "order": [1, 0, 2]},
]
CELL = [
    {"name": "sum", "type": "Eltwise", "bottom": ["x", "h"]},
    {"name": "fc", **FC},
    {"name": "h_new", "type": "TanH"},
]
RNN = {
    "name": "rnn",
    "type": "Recurrent",
    "bottom": "x",
    "states": {"h": {"next": "h_new"}},
    "outputs": "h_new",
    "body": CELL,
}
LAST = {"blob": "h_new", "take": "last"}
SHARED = {"param": [{"name": "w"}, {"name": "b"}]}
ROOT = {
    "name": "root",
    "type": "Repeat",
    "bottom": "sum",
    "states": {"y": {"next": "y_new", "start": "from"}},
    "inputs": "from",
    "until": "done",
    "max_times": 7,
    "outputs": "y_new",
    "body": [
        {"name": "y_new", **FC, "bottom": "y"},
        {"name": "done", "type": "Expression", "bottom": "y_new", "expr": "abs(y_new) > 0.5"},
    ],
}
CHOICE = {
    "name": "y",
    "type": "Cond",
    "bottom": ["x", "c"],
    "condition": "c",
    "by": "sample",
    "outputs": "y",
    "then": [{"name": "fc", **FC, "bottom": "x"}, {"name": "y", "type": "ReLU"}],
    "otherwise": [{"name": "y", "type": "Power", "scale": -2, "bottom": "x"}],
}
SAMPLES = [{"name": "x", "type": "Input", "shape": [3, 4]}, {"name": "c", "type": "Input", "shape": [3]}]
ALONE = [{"name": "y", "type": "Expression", "bottom": "x", "expr": "x / (1 + sum(x * x, axis=0, keepdims=True))"}]
"""Mixes the rows that it gets, and by sample gets one at a time."""
NETS = {
    "sequences": [*TURNED, RNN],
    "both ways": [*TURNED, {**RNN, "bidirectional": True}],
    "the last step": [*TURNED, {**RNN, "outputs": LAST, "states": {"h": {"next": "h_new", "start": "learned"}}}],
    "no states": [*TURNED, {**RNN, "states": {}, "body": [{"name": "h_new", **FC, "bottom": "x"}]}],
    "a state that was an input": [
        *TURNED,
        {**RNN, "top": ["all", "last"], "states": {"h": {"next": "x"}}, "outputs": ["h_new", LAST], "reverse": True},
    ],
    "lengths": [
        *TURNED,
        {"name": "n", "type": "Input", "shape": [2]},
        {**RNN, "bottom": ["x", "n"], "lengths": "n", "top": ["all", "last"], "outputs": ["h_new", LAST]},
    ],
    "back, with cont": [
        *TURNED,
        {"name": "cont", "type": "Expression", "bottom": "x", "expr": "sum(x, axis=2) > 0"},
        {**RNN, "bottom": ["x", "cont"], "cont": "cont", "states": {"h": {"next": "h_new", "start": "learned"}}}
        | {"reverse": True},
    ],
    "shared weights": [
        *TURNED,
        {**RNN, "body": [CELL[0], {"name": "again", **FC, **SHARED}, {**CELL[1], **SHARED}, CELL[2]]},
    ],
    "a loop in a loop": [*TURNED, {**RNN, "body": [CELL[0], ROOT, CELL[2]]}],
    "a choice in a loop": [
        *TURNED,
        {
            **RNN,
            "body": [
                {"name": "c", "type": "Expression", "bottom": "x", "expr": "sum(x, axis=1) > 0"},
                {**CHOICE, "bottom": ["x", "c"]},
                {"name": "h_new", "type": "Eltwise", "bottom": ["y", "h"]},
            ],
        },
    ],
    "a constant in a loop": [
        *TURNED,
        {
            **RNN,
            "body": [
                {"name": "p", "type": "Parameter", "shape": [4], "filler": {"value": 0.3}},
                {"name": "h_new", "type": "Expression", "bottom": ["x", "h", "p"], "expr": "x + h * p"},
            ],
        },
    ],
    "rows apart": [*SAMPLES, CHOICE],
    "maps, one by one": [{**SAMPLES[0], "shape": [3, 4, 5, 2]}, SAMPLES[1], {**CHOICE, "then": ALONE}],
}
BODIES = {"Scan", "Loop", "If"}


def new_net(layers):
    return lk.Net({"layers": [{**layer, "include": "predict"} for layer in layers]}, "predict", engine="numpy")


def model_of_net(layers):
    """A net with its model, and inputs; the net has run before, with a batch of another size."""
    net = new_net(layers)
    rng = np.random.default_rng(3)
    inputs = {name: rng.uniform(-1, 1, net.blobs[name].shape) for name in net.inputs}
    inputs |= {name: np.array(values) for name, values in {"c": [1, 0, 1], "n": [3, 4]}.items() if name in inputs}
    net.forward(**{name: np.concatenate([x, x]) for name, x in inputs.items()})
    model, notes = build(net)
    check(model.SerializeToString())
    return net, model, notes, inputs


@pytest.mark.parametrize("layers", NETS.values(), ids=NETS)
def test_a_body(layers):
    net, model, _, inputs = model_of_net(layers)
    session = Session(model.SerializeToString())
    assert all(shape[0] == "N" for shape in session.inputs.values() if len(shape) > 1)
    compare_answers(net, session, inputs)
    compare_answers(net, session, {name: np.concatenate([x, x[:1] + 0.25, x]) for name, x in inputs.items()})


def kinds(graph):
    return {node.op_type for node in graph.node} & BODIES


def test_samples_whose_rows_stay_apart_need_no_loop():
    assert kinds(model_of_net(NETS["rows apart"])[1].graph) == set()
    assert kinds(model_of_net(NETS["maps, one by one"])[1].graph) == {"Scan"}


def refusal(layers):
    with pytest.raises(ConfigError) as caught:
        model_of_net(layers)
    (problem,) = caught.value.problems
    return str(problem).partition("ONNX cannot express it: ")[2]


def test_what_stands_in_a_body_and_cannot_be_expressed_is_named():
    noise = {"name": "noise", "type": "DummyData", "shape": [1, 4], "data_filler": "gaussian"}
    said = refusal([*TURNED, {**RNN, "body": [noise, *CELL]}])
    assert said.startswith("of the layer 'noise' in body, it draws its values at random")


def test_a_layer_that_remembers_by_itself_cannot_stand_in_a_loop():
    inner = [
        {"name": "cont", "type": "Expression", "bottom": "x", "expr": "where(sum(x, axis=2) > 0, 1, 1)"},
        {"name": "lstm", "type": "LSTM", "bottom": ["x", "cont"], "num_output": 4},
        {"name": "x_new", "type": "Eltwise", "bottom": ["x", "lstm"]},
    ]
    data = {"name": "data", "type": "Input", "shape": [5, 2, 4]}
    loop = {"name": "loop", "type": "Repeat", "states": {"x": {"next": "x_new", "start": "data"}}, "times": 2}
    said = refusal([data, {**loop, "body": inner, "outputs": "x_new"}])
    assert said == (
        "its layer 'body/lstm' has a state of its own, which goes on from run to run; let it be a state of this layer"
    )


def test_in_a_choice_for_the_batch_it_can():
    flag = {"name": "flag", "type": "Parameter", "shape": [1], "filler": {"value": 1}}
    sequences = {"name": "x", "type": "Input", "shape": [5, 2, 4]}
    cont = {"name": "cont", "type": "Input", "shape": [5, 2]}
    lstm = {"name": "y", "type": "LSTM", "bottom": ["x", "cont"], "num_output": 4, **FILLED}
    choice = {**CHOICE, "bottom": ["x", "cont", "flag"], "condition": "flag", "by": "batch", "then": [lstm]}
    layers = [sequences, cont, flag, choice]
    _, model, notes, inputs = model_of_net(layers)
    compare_answers(new_net(layers), Session(model.SerializeToString()), inputs)
    assert notes == ["layer 'y': layer 'y' in then: its state is 0 at the beginning of each run, as it is in a new net"]
