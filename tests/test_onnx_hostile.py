"""Files that are no models, that say what cannot be, or that ask for what no reader should give."""

import contextlib
import re

import numpy as np
import onnx
import pytest
from onnx_tools import model_of
from test_onnx_import import FOLDER, net_in

from layerkit.convert.onnx import read
from layerkit.errors import ConfigError, DataError

ROWS = {"x": ("N", 6)}


@pytest.fixture
def written(tmp_path):
    def write(model):
        path = tmp_path / "model.onnx"
        path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
        return path

    return write


def sentence(path, **options):
    """What is said of a file that cannot be read: one line, with its name."""
    with pytest.raises((ConfigError, DataError)) as caught:
        read(path, **options)
    said = str(caught.value)
    assert str(path) in said
    assert "\n" not in said
    return said.replace(str(path), "F").removeprefix("F: ")


# -- files ----------------------------------------------------------------------------------------------------------


def test_a_file_that_is_not_there(tmp_path):
    assert sentence(tmp_path / "none.onnx") == "cannot read 'F': No such file or directory"


@pytest.mark.parametrize("data", [b"", b"\0" * 50, b"name: lenet\n", b"PK\3\4 and so on", bytes(range(256))])
def test_a_file_that_is_something_else(written, data):
    assert re.match(r"'F' is (damaged or )?no ONNX model", sentence(written(data)))


def test_a_file_that_is_cut_short_at_any_place(written):
    data = (FOLDER / "resnet_traced.onnx").read_bytes()
    for end in range(1, len(data), 97):
        assert re.match(r"'F' (is|refers|uses|has|leaves)|node |'F': ", sentence(written(data[:end])))


def test_a_file_with_bytes_changed_is_read_or_refused(written):
    data = (FOLDER / "parts_traced.onnx").read_bytes()
    rng = np.random.default_rng(5)
    for _ in range(150):
        changed = bytearray(data)
        for place in rng.integers(0, len(data), rng.integers(1, 5)):
            changed[place] = rng.integers(0, 256)
        with contextlib.suppress(ConfigError, DataError):
            read(written(bytes(changed)))


def test_versions_of_long_ago(written):
    model = model_of([("Relu", "x", "y")], ROWS, opset=6)
    assert sentence(written(model)).startswith("'F' uses version 6 of ONNX's operators, and what is read begins with 7")


def test_values_in_a_file_beside_it(written, tmp_path):
    wide = np.arange(12, dtype=np.float32).reshape(6, 2)
    model = external(wide, "model.onnx.data", 8)
    (tmp_path / "model.onnx.data").write_bytes(b"\0" * 8 + wide.tobytes())
    x = np.eye(6, dtype=np.float32)[:3]
    assert net_in(written(model)).forward(x=x)["y"].tolist() == wide[:3].tolist()
    (tmp_path / "model.onnx.data").write_bytes(b"\0" * 8 + wide.tobytes()[:-1])
    assert sentence(written(model)) == "the values of 'w' are not in 'model.onnx.data', which 'F' refers to"


@pytest.mark.parametrize("place", ["../secret", "/etc/hostname", "a/b", "", ".", "link"])
def test_values_in_a_file_elsewhere(written, tmp_path, place):
    (tmp_path / "link").symlink_to(FOLDER / "vgg.npz")
    said = sentence(written(external(np.zeros((6, 2), np.float32), place, 0)))
    assert f"'F' refers to {place!r} for values, which is no file beside it" in said or "no valid ONNX model" in said


def external(values, place, offset):
    """A product with a constant whose values lie in another file."""
    model = model_of([("MatMul", "x,w", "y")], ROWS, {"w": values})
    (tensor,) = model.graph.initializer
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", place), ("offset", str(offset))):
        tensor.external_data.add(key=key, value=value)
    return model


# -- models that do not add up --------------------------------------------------------------------------------------


def test_what_has_no_layer_is_named_once_for_each_operator(written):
    nodes = [("Floor", "x", "a"), ("Floor", "a", "b"), ("Round", "x", "c"), ("Add", "b,c", "y")]
    with pytest.raises(ConfigError) as caught:
        read(written(model_of(nodes, ROWS)))
    assert [re.sub(".*onnx: ", "", str(problem)) for problem in caught.value.problems] == [
        "node 'n0': Floor: layerkit has no layer that does this",
        "node 'n2': Round: layerkit has no layer that does this",
    ]


@pytest.mark.parametrize(
    ("nodes", "constants", "said"),
    [
        ([("MaxPool", "x", "y", {"kernel_shape": [2, 2], "dilations": [2, 2]})], {}, "its windows have gaps"),
        ([("MaxPool", "x", "y,z", {"kernel_shape": [2, 2]})], {}, "it also says where its maxima are"),
        ([("AveragePool", "x", "y", {"kernel_shape": [2, 2], "pads": [0, 0, 1, 1]})], {}, "its padding, which does"),
        ([("ConvTranspose", "x,w", "y", {"output_padding": [1, 0], "strides": [2, 1]})], {"w": (3, 2, 2, 2)}, "it pad"),
        ([("ConvTranspose", "x,w", "y", {"pads": [1, 0, 0, 0]})], {"w": (3, 2, 2, 2)}, "its padding is not the same"),
        ([("Conv", "x,x", "y")], {}, "its input 1 is computed"),
        ([("Conv", "x,w", "y")], {"w": (4, 2, 3, 3)}, "its numbers do not fit"),
        ([("Conv", "x,w", "y")], {"w": (4, 3, 9, 9)}, "its numbers do not fit: a kernel that covers 9x9 is larger"),
        ([("Pad", "x,p", "y")], {"p": np.array([0, 0, -1, 0, 0, 0, 0, 0])}, "layerkit pads with"),
        ([("Pad", "x,p", "y", {"mode": "wrap"})], {"p": np.array([0, 0, 1, 0, 0, 0, 0, 0])}, "layerkit pads with"),
        ([("Reshape", "x,s", "y")], {"s": np.array([7, 7])}, "its numbers do not fit"),
        ([("Split", "x", "y,z", {"axis": 0, "num_outputs": 2})], {}, "it cuts the batch"),
        ([("Gather", "x,i", "y", {"axis": 3})], {"i": np.arange(99) * 2 % 5}, "lies in 99 pieces, and layerkit puts"),
        ([("Gather", "x,i", "y", {"axis": 3})], {"i": np.array([5])}, "its places [5] are not all within 5"),
        ([("Slice", "x,b,e,a", "y")], {"b": [0], "e": [1], "a": [0]}, "it cuts the batch"),
        ([("Slice", "x,b,e,a", "y")], {"b": [2], "e": [1], "a": [2]}, "it leaves nothing"),
        ([("Transpose", "x", "t"), ("Squeeze", "x,a", "y")], {"a": [1]}, "are not of length 1"),
        ([("Resize", "x,r,s", "y", {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize"})],
         {"r": np.float32([0, 0, 0, 0, 1, 1, 1, 1]), "s": np.float32([1, 1, 2, 2])}, "linear with tf_crop_and_resize"),
        ([("Resize", "x,,s", "y", {"mode": "linear", "antialias": 1})], {"s": np.float32([1, 1, 2, 2])},
         "only without antialias"),
        ([("GRU", "x,w,r", "y", {"hidden_size": 2})], {"w": (1, 6, 7), "r": (1, 6, 2)}, "linear_before_reset is 0"),
        ([("LSTM", "x,w,r", "y", {"hidden_size": 2, "clip": 1.0})], {"w": (1, 8, 7), "r": (1, 8, 2)}, "clip is 1.0"),
        ([("LSTM", "x,w,r,,,,,p", "y", {"hidden_size": 2})], {"w": (1, 8, 7), "r": (1, 8, 2), "p": (1, 6)},
         "it has peepholes"),
        ([("RNN", "x,w,r", "y", {"hidden_size": 2, "activations": ["Relu"]})], {"w": (1, 2, 7), "r": (1, 2, 2)},
         "its activations are ['Relu'], and layerkit has a layer only for ['Tanh']"),
        ([("RNN", "x,w,r,,l", "y", {"hidden_size": 2})],
         {"w": (1, 2, 7), "r": (1, 2, 2), "l": np.array([1, 2], np.int32)}, "its sequences are of several lengths"),
        ([("Resize", "x,,s", "y")], {"s": np.float32([1, 2, 1, 1])}, "it changes more than the spatial axes"),
        ([("PRelu", "x,s", "y")], {"s": np.float32([1, 2, 3, 4, 5])}, "its slopes [5] are not one for each channel"),
        ([("Div", "x,c", "y")], {"c": np.float32(0)}, "its constant is inf"),
        ([("Div", "a,b", "c"), ("Reshape", "x,c", "y")], {"a": [4, 2], "b": [2, 0]}, "a division by 0"),
        ([("Reshape", "a,b", "c"), ("Expand", "x,c", "y")], {"a": [4, 2], "b": [3]}, "[2] does not become [3]"),
        ([("Reshape", "a,b", "c"), ("Expand", "x,c", "y")], {"a": [4, 2], "b": [-2]}, "[-2] is no shape"),
        ([("Softmax", "x", "y")], 11, "before version 13"),
        ([("Cast", "x", "i", {"to": 7}), ("Cast", "i", "f", {"to": 7}), ("Abs", "i", "y")], {}, "was made whole"),
        ([("Gather", "x,i", "y")], {"i": np.array(1)}, "it cuts the batch"),
        ([("Cast", "x", "i", {"to": 7}), ("Gather", "x,i", "y")], {}, "for the rows of a constant table, and for"),
        ([("Gemm", "t,w", "y", {"transA": 1})], {"w": (6, 2), "t": (6, 2)}, "transA is 1"),
        ([("BatchNormalization", "x,s,s,s,s", "y,a,b", {"training_mode": 1})], {"s": (3,)}, "training_mode is 1"),
        ([("ReduceMax", "x,a", "m"), ("Shape", "x", "s"), ("Expand", "m,s", "y")], {"a": [0]}, "over the batch"),
    ],
)  # fmt: skip
def test_a_node_that_no_layer_can_stand_for(written, nodes, constants, said):
    more = {"opset": constants} if isinstance(constants, int) else {}
    arrays = {
        name: np.ones(each, np.float32)
        if isinstance(each, tuple)
        else np.asarray(each, getattr(each, "dtype", np.int64))
        for name, each in ({} if more else constants).items()
    }
    model = model_of(nodes, {"x": ("N", 3, 5, 5)}, arrays, **more)
    assert said in sentence(written(model))


def test_sparse_constants_are_not_read(written):
    model = model_of([("Relu", "x", "y")], {"x": ("N", 3)})
    ones = onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [2], [1.0, 1.0])
    places = onnx.helper.make_tensor("places", onnx.TensorProto.INT64, [2], [0, 4])
    model.graph.sparse_initializer.append(onnx.helper.make_sparse_tensor(ones, places, [5]))
    assert sentence(written(model)) == "'F' has sparse constants, which are not read"


def test_lengths_that_are_left_open_can_be_given(written):
    path = written(model_of([("GlobalMaxPool", "x", "p"), ("Flatten", "p", "y")], {"x": ("N", 3, "H", "W")}))
    assert sentence(path) == "'F' leaves the length of axis 2, 3 of its input 'x' open: give its shape"
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    assert net_in(path, {"x": (1, 3, 4, 5)}).forward(x=x)["y"].tolist() == x.max((2, 3)).tolist()


def test_an_output_of_constants_alone(written):
    model = model_of([("Add", "c,c", "y"), ("Tanh", "x", "z")], ROWS, {"c": np.ones(3, np.float32)}, outputs=("y", "z"))
    assert sentence(written(model)) == "'F': the output 'y' depends on no input"


def test_an_input_that_is_text(written):
    model = model_of([("Identity", "x", "y")], ROWS)
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.STRING
    assert sentence(written(model)) == "'F': the input 'x' is no array of numbers of known shape"


def test_an_operator_of_somebody_elses(written):
    model = model_of([("Relu", "x", "y")], ROWS)
    model.graph.node[0].domain = "com.example"
    model.opset_import.add(domain="com.example", version=1)
    assert "Relu: layerkit has no layer that does this" in sentence(written(model))


@pytest.mark.parametrize("taken", [True, False])
def test_a_branch_that_is_always_taken(written, taken):
    assert np.allclose(
        net_in(written(branching(taken))).forward(x=np.ones((1, 6)))["y"], np.exp(1) if taken else np.tanh(1)
    )


def test_a_branch_that_depends_on_many_numbers(written):
    model = branching(True)
    model.graph.node.insert(0, onnx.helper.make_node("Cast", ["x"], ["c2"], to=9))
    model.graph.node[1].input[0] = "c2"
    assert re.search(r"which graph runs depends on \[\d+, 6\] numbers", sentence(written(model)))


def branching(condition):
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    branches = {
        name: helper.make_graph(
            [helper.make_node(operator, ["x"], [name])], name, [], [helper.make_tensor_value_info(name, kind, None)]
        )
        for name, operator in (("then_branch", "Exp"), ("else_branch", "Tanh"))
    }
    for branch in branches.values():
        branch.output[0].type.tensor_type.shape.SetInParent()
    model = model_of([("If", "c", "y")], ROWS, {"c": np.array(condition)})
    for name, branch in branches.items():
        model.graph.node[0].attribute.append(helper.make_attribute(name, branch))
    return model


@pytest.mark.parametrize(
    "nodes",
    [
        [("ConstantOfShape", "n", "c")],
        [("Range", "z,m,o", "c")],
        [("Expand", "z,n", "c")],
        [("ConstantOfShape", "s", "a"), *(("Add", "a,a", name) for name in "bdefghijk"), ("Add", "k,k", "c")],
        [("ConstantOfShape", "s", "a"), ("Concat", "a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a", "c", {"axis": 0})],
    ],
)
def test_constants_of_absurd_sizes_are_refused(written, nodes):
    constants = {"n": [1 << 20, 1 << 20], "s": [1 << 23], "z": 0, "m": 1 << 50, "o": 1}
    arrays = {name: np.array(each, np.int64) for name, each in constants.items()}
    model = model_of([*nodes, ("Reshape", "x,c", "y")], ROWS, arrays)
    assert re.search("absurd sizes|more than a shape needs", sentence(written(model)))


def test_a_constant_with_fewer_values_than_it_says(written):
    model = model_of([("MatMul", "x,w", "y")], ROWS, {"w": np.zeros((6, 2), np.float32)})
    model.graph.initializer[0].dims[0] = 1 << 40
    assert re.match("'F' is damaged", sentence(written(model)))
