"""The kernels, by the types that they run: one type, or a chain of types that become one pass over memory."""

from __future__ import annotations

from collections.abc import Callable

from layerkit.engines.kernel import Kernel, Work
from layerkit.engines.onednn.kernels.batch_norm import batch_norm
from layerkit.engines.onednn.kernels.convolution import convolution
from layerkit.engines.onednn.kernels.deconvolution import deconvolution
from layerkit.engines.onednn.kernels.elementwise import (
    abs_val,
    clip,
    elu,
    exp,
    gelu,
    hard_swish,
    power,
    relu,
    relu6,
    sigmoid,
    swish,
    tanh,
)
from layerkit.engines.onednn.kernels.eltwise import eltwise
from layerkit.engines.onednn.kernels.inner_product import inner_product
from layerkit.engines.onednn.kernels.layer_norm import layer_norm
from layerkit.engines.onednn.kernels.lrn import lrn
from layerkit.engines.onednn.kernels.mat_mul import mat_mul
from layerkit.engines.onednn.kernels.pooling import pooling
from layerkit.engines.onednn.kernels.prelu import prelu
from layerkit.engines.onednn.kernels.shape import concat, flatten, slices
from layerkit.engines.onednn.kernels.softmax import softmax, softmax_with_loss
from layerkit.engines.onednn.primitives import Context

Make = Callable[[Context, Work], Kernel | None]

KERNELS: dict[tuple[str, ...], Make] = {
    **{
        (kind, *behind): convolution
        for kind in ("Convolution", "DepthwiseConvolution")
        for behind in (
            (),
            ("ReLU",),
            ("ReLU6",),
            ("BatchNorm",),
            ("BatchNorm", "ReLU"),
            ("BatchNorm", "ReLU6"),
            ("BatchNorm", "Scale"),
            ("BatchNorm", "Scale", "ReLU"),
            ("BatchNorm", "Scale", "ReLU6"),
        )
    },
    ("Deconvolution",): deconvolution,
    ("Deconvolution", "ReLU"): deconvolution,
    ("Deconvolution", "ReLU6"): deconvolution,
    ("InnerProduct",): inner_product,
    ("InnerProduct", "ReLU"): inner_product,
    ("MatMul",): mat_mul,
    ("Pooling",): pooling,
    ("ReLU",): relu,
    ("ReLU6",): relu6,
    ("PReLU",): prelu,
    ("AbsVal",): abs_val,
    ("Clip",): clip,
    ("ELU",): elu,
    ("Exp",): exp,
    ("GELU",): gelu,
    ("HardSwish",): hard_swish,
    ("Swish",): swish,
    ("Sigmoid",): sigmoid,
    ("TanH",): tanh,
    ("Power",): power,
    ("Softmax",): softmax,
    ("SoftmaxWithLoss",): softmax_with_loss,
    ("LRN",): lrn,
    ("LayerNorm",): layer_norm,
    ("BatchNorm",): batch_norm,
    ("BatchNorm", "ReLU"): batch_norm,
    ("BatchNorm", "ReLU6"): batch_norm,
    ("BatchNorm", "Scale"): batch_norm,
    ("BatchNorm", "Scale", "ReLU"): batch_norm,
    ("BatchNorm", "Scale", "ReLU6"): batch_norm,
    ("Eltwise",): eltwise,
    ("Eltwise", "ReLU"): eltwise,
    ("Concat",): concat,
    ("Slice",): slices,
    ("Flatten",): flatten,
    ("Reshape",): flatten,
}
"""Each function makes a kernel, or gives None where oneDNN has nothing fast for the layer as it is configured."""
