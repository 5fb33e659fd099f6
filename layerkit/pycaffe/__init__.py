"""pycaffe's interface over layerkit, for scripts written for Caffe: `import layerkit.pycaffe as caffe`.

A script that imports parts (`from caffe import layers as L`), or modules that do `import caffe` themselves, such as
files with Python layers, need no change if these two lines come first:

    import layerkit.pycaffe
    layerkit.pycaffe.install()

Everything computes on the CPU; set_mode_gpu and set_device are there and do nothing. Layers of type Python run without
further permission, as in Caffe. `net.inner` is the net of layerkit underneath.
"""

import sys

from layerkit import __version__
from layerkit.pycaffe import classifier, coord_map, detector, draw, io, net_spec, proto
from layerkit.pycaffe.blob import Blob
from layerkit.pycaffe.classifier import Classifier
from layerkit.pycaffe.detector import Detector
from layerkit.pycaffe.layer import Layer
from layerkit.pycaffe.modes import (
    TEST,
    TRAIN,
    init_log,
    log,
    set_device,
    set_engine,
    set_mode_cpu,
    set_mode_gpu,
    set_random_seed,
)
from layerkit.pycaffe.net import Net
from layerkit.pycaffe.net_spec import NetSpec, layers, params, to_proto
from layerkit.pycaffe.proto import caffe_pb2
from layerkit.pycaffe.solver import (
    AdaDeltaSolver,
    AdaGradSolver,
    AdamSolver,
    NesterovSolver,
    RMSPropSolver,
    SGDSolver,
    Solver,
    get_solver,
)
from layerkit.registry import layer_types

__all__ = [
    "TEST",
    "TRAIN",
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "Blob",
    "Classifier",
    "Detector",
    "Layer",
    "NesterovSolver",
    "Net",
    "NetSpec",
    "RMSPropSolver",
    "SGDSolver",
    "Solver",
    "__version__",
    "classifier",
    "coord_map",
    "detector",
    "draw",
    "get_solver",
    "init_log",
    "install",
    "io",
    "layer_type_list",
    "layers",
    "log",
    "net_spec",
    "params",
    "proto",
    "set_device",
    "set_engine",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_random_seed",
    "to_proto",
]


def layer_type_list() -> list[str]:
    """The names of all layer types."""
    return sorted(layer_types())


def install() -> None:
    """Let `import caffe`, `from caffe.proto import caffe_pb2` and the like find this interface, in this process.

    A Caffe that is installed beside layerkit is hidden by it.
    """
    parts = (classifier, coord_map, detector, draw, io, net_spec, proto, caffe_pb2)
    inside = {module.__name__.replace(__name__, "caffe", 1): module for module in parts}
    sys.modules.update({"caffe": sys.modules[__name__], **inside})
