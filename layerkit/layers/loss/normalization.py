"""What a loss is divided by. Source: Caffe's LossParameter and get_normalizer (softmax_loss_layer.cpp)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from layerkit.layer import LayerParams

Normalization = Literal["FULL", "VALID", "BATCH_SIZE", "NONE"]


class LossParams(LayerParams):
    """Parameters of the losses that can leave out labels and choose what they are divided by."""

    ignore_label: int | None = Field(
        None, description="Places with this label count for nothing: no loss, no gradient."
    )
    normalization: Normalization | None = Field(
        None,
        description="What the sum is divided by. FULL: all places. VALID: the places not ignored. "
        "BATCH_SIZE: the samples. NONE: 1. Unset, it is what `normalize` says.",
    )
    normalize: bool | None = Field(
        None, description="The older way to say it: true is VALID, false is BATCH_SIZE; unset, the type's own default."
    )


def divisor(params: LossParams, default: Normalization, samples: int, places: int, valid: float) -> float:
    """What to divide the sum over `valid` of `places` (in `samples`) by; 1 in place of 0, so that nothing gives 0.

    Where places have weights, `valid` is the sum of the weights of those that count.
    """
    older = {True: "VALID", False: "BATCH_SIZE", None: default}[params.normalize]
    numbers = {"FULL": places, "VALID": valid, "BATCH_SIZE": samples, "NONE": 1}
    return numbers[params.normalization or older] or 1
