"""What other frameworks call the layer types, for those who come from there and type what they know."""

from __future__ import annotations

import re

from layerkit.errors import did_you_mean
from layerkit.registry import layer_types

_NAMES = {
    "InnerProduct": "linear dense fullyconnected fc gemm",
    "Convolution": "conv1d conv2d conv3d",
    "Deconvolution": "convtranspose",
    "DepthwiseConvolution": "depthwiseconv",
    "Pooling, with pool: MAX": "maxpool maxpooling",
    "Pooling, with pool: AVE": "avgpool averagepool averagepooling",
    "Pooling, with global_pooling: true": "globalavgpool globalaveragepool globalmaxpool adaptiveavgpool",
    "SoftmaxWithLoss": "crossentropyloss crossentropy softmaxcrossentropy nllloss",
    "SigmoidCrossEntropyLoss": "bceloss bcewithlogitsloss binarycrossentropy",
    "EuclideanLoss": "mse mseloss l2loss",
    "Eltwise, with operation: SUM": "add sum",
    "Eltwise, with operation: PROD": "mul multiply prod",
    "Swish": "silu",
    "ReLU, with a negative_slope": "leakyrelu",
}
_OURS = {name: ours for ours, names in _NAMES.items() for name in names.split()}


def hint(kind: str) -> str:
    """What to write instead of a layer type that there is not, as the end of a sentence."""
    name = kind.lower().replace("_", "")
    ours = _OURS.get(name) or _OURS.get(re.sub(r"[123]d$", "", name))
    if ours is not None:
        return f"; here it is {ours}"
    return did_you_mean(kind, layer_types()) or "; layerkit layers lists them"
