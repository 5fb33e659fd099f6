"""Layers of type Python in pycaffe's nets, and scripts that import caffe by its own name."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import layerkit.pycaffe as caffe
from layerkit.errors import ConfigError

CLASSES = """
    import caffe

    class Times(caffe.Layer):
        '''Times a weight for each column, which begins at param_str.'''

        def setup(self, bottom, top):
            self.blobs.add_blob(bottom[0].channels)
            self.blobs[0].data[...] = float(self.param_str)
            self.seen = 0

        def reshape(self, bottom, top):
            top[0].reshape(*bottom[0].data.shape)

        def forward(self, bottom, top):
            self.seen += bottom[0].num
            top[0].data[...] = self.blobs[0].data * bottom[0].data

        def backward(self, top, propagate_down, bottom):
            self.blobs[0].diff[...] += (top[0].diff * bottom[0].data).sum(axis=0)
            bottom[0].diff[...] = self.blobs[0].data * top[0].diff

    class Forward(caffe.Layer):
        def reshape(self, bottom, top):
            top[0].reshape(2)

        def forward(self, bottom, top):
            top[0].data[...] = self.phase
"""

NET = """
input: "data" input_shape { dim: 3 dim: 4 }
layer { name: "times" type: "Python" bottom: "data" top: "times"
  python_param { module: "MODULE" layer: "Times" param_str: "2.5" } }
layer { name: "phase" type: "Python" top: "phase" python_param { module: "MODULE" layer: "Forward" } }
"""


@pytest.fixture(name="installed")
def _installed(monkeypatch: pytest.MonkeyPatch):
    """The interface under Caffe's own name, for the length of a test."""
    before = dict(sys.modules)
    caffe.install()
    yield
    for name in [name for name in sys.modules if name == "caffe" or name.startswith("caffe.")]:
        del sys.modules[name]
    sys.modules.update({name: module for name, module in before.items() if name.startswith("caffe")})


@pytest.fixture(name="net_file")
def _net_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed) -> str:
    name = f"classes_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(CLASSES))
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "net.prototxt").write_text(NET.replace("MODULE", name))
    return str(tmp_path / "net.prototxt")


def test_python_layers_run_without_permission(net_file, tmp_path):
    net = caffe.Net(net_file, caffe.TEST)
    user = net.layers[1]
    assert (user.type, user.param_str, type(user).__name__) == ("Python", "2.5", "Times")
    assert net.layer_dict["times"] is user
    user.blobs[0].data[...] = [1, 2, 3, 4]  # before any pass
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    out = net.forward(data=x)
    np.testing.assert_allclose(out["times"], x * [1, 2, 3, 4], rtol=1e-6)
    assert (out["phase"].tolist(), user.seen) == ([1, 1], 3)
    assert caffe.Net(net_file, caffe.TRAIN).forward()["phase"].tolist() == [0, 0]
    net.blobs["times"].diff[...] = 1
    net.backward()
    net.backward()
    np.testing.assert_allclose(net.params["times"][0].diff, 2 * x.sum(axis=0), rtol=1e-4)
    assert np.shares_memory(user.blobs[0].diff, net.params["times"][0].diff)
    np.testing.assert_array_equal(net.blobs["data"].diff, np.tile([1, 2, 3, 4], (3, 1)))
    net.save(tmp_path / "net.caffemodel")
    other = caffe.Net(net_file, str(tmp_path / "net.caffemodel"), caffe.TEST)
    assert other.params["times"][0].data.tolist() == [1, 2, 3, 4]
    net.blobs["data"].reshape(5, 4)
    assert net.forward()["times"].shape == (5, 4)


def test_what_a_class_lacks_or_raises_is_told(net_file, tmp_path):
    path = Path(net_file)
    path.write_text(path.read_text().replace('"2.5"', '"many"'))
    with pytest.raises(ConfigError, match=r"Times\.setup raised ValueError: could not convert string to float: 'many'"):
        caffe.Net(net_file, caffe.TEST)
    layer = caffe.Layer()
    layer.setup([], [])
    for method, arguments in (("reshape", 2), ("forward", 2), ("backward", 3)):
        with pytest.raises(NotImplementedError, match=f"Layer has no method '{method}'"):
            getattr(layer, method)(*[[]] * arguments)


def test_scripts_find_it_under_caffes_name(installed):
    scope: dict[str, object] = {}
    exec(
        textwrap.dedent("""
            import caffe
            import caffe.io
            from caffe import layers as L, params as P
            from caffe.proto import caffe_pb2
            import caffe.proto.caffe_pb2 as pb
            from caffe.coord_map import crop
            from caffe.classifier import Classifier
            import caffe.draw, caffe.net_spec, caffe.detector
        """),
        scope,
    )
    assert scope["caffe"] is caffe
    assert scope["caffe_pb2"] is scope["pb"] is caffe.io.caffe_pb2
    assert scope["Classifier"] is caffe.Classifier
    assert scope["L"] is caffe.layers


def test_a_seed_decides_all_nets_that_follow(tmp_path):
    (tmp_path / "net.prototxt").write_text("""input: "data" input_shape { dim: 1 dim: 3 }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 2 weight_filler { type: "gaussian" } } }""")

    def weights(count: int) -> list[list[float]]:
        return [
            caffe.Net(tmp_path / "net.prototxt", caffe.TEST).params["ip"][0].data.ravel().tolist() for _ in range(count)
        ]

    caffe.set_random_seed(5)
    first = weights(3)
    assert len({tuple(each) for each in first}) == 3
    caffe.set_random_seed(5)
    assert weights(3) == first
    caffe.set_random_seed(0)
    assert weights(1)[0] not in first


def test_the_module_has_what_pycaffe_has(capsys):
    caffe.init_log()
    caffe.log("a line")
    assert capsys.readouterr().err == "a line\n"
    caffe.set_mode_gpu()
    caffe.set_device(0)
    caffe.set_mode_cpu()
    assert {"Convolution", "Python", "SoftmaxWithLoss"} < set(caffe.layer_type_list())
    assert all(hasattr(caffe, name) for name in caffe.__all__)
    assert caffe.__version__
