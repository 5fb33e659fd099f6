"""DepthwiseConvolution: a Convolution with one kernel a channel."""

from __future__ import annotations

from pydantic import Field

from layerkit.blob import Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.layer import Plan, canonical_axis
from layerkit.layers.vision.convolution import Convolution
from layerkit.registry import register


@register
class DepthwiseConvolution(Convolution):
    """Convolution of each channel with a kernel of its own.

        y[n, c, j] = bias[c] + sum over k of weight[c, 0, k] * x[n, c, j * stride - pad + k * dilation]

    It is a Convolution whose `group` is the number of channels. Mixing the channels is left to one with kernel size 1.

    Bottoms: (..., C, size...) each, all of one shape, as for Convolution.
    Weights: weight (C, 1, kernel...); bias (C,).
    Tops: (..., C, count...), counted as for Convolution.
    Raises ShapeError where num_output, or group if given, is not C; else as Convolution.

    Example: {name: conv2_1/dw, type: DepthwiseConvolution, num_output: 32, kernel_size: 3, pad: 1, bias_term: false}

    Source: Howard et al. 2017 (MobileNet); depthwise_conv_layer.cpp of MobileNet's forks of Caffe.
    """

    class Params(Convolution.Params):
        """Parameters of DepthwiseConvolution."""

        group: int | None = Field(None, gt=0, description="May be left out: it is the number of channels.")  # type: ignore[assignment]

    @property
    def group(self) -> int:
        return int(self.params.num_output)

    def plan(self, *bottoms: Shape) -> Plan:
        p, shape = self.params, bottoms[0]
        channels = shape[canonical_axis(p.axis, shape)]
        for field, given in (("num_output", p.num_output), ("group", p.group)):
            if given not in (channels, None):
                raise ShapeError(
                    f"{field} is {given}, but must be the number of channels: {channels} in a bottom of shape "
                    f"{shape_text(shape)}",
                    field,
                )
        return super().plan(*bottoms)
