"""What is known of the samples that a net was trained on."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, PrivateAttr

from layerkit.blob import Array
from layerkit.fields import Strict


class SampleInfo(Strict):
    """What someone who has only a snapshot must know of a sample; it serves `net.predict`."""

    shape: list[int] = Field(description="Shape of one sample as the net gets it, without the batch axis.")
    raw_shape: list[int] | None = Field(
        None, description="Shape as the source stores it, 0 for a height or width that may be any; None: as `shape`."
    )
    transform: list[dict[str, Any]] = Field([], description="What is done first, in this order.")
    crop_size: int = Field(0, ge=0, description="Side of the square that is cut out of the middle; 0 uses all.")
    scale: float = Field(1.0, description="What each value is multiplied by, after the mean is subtracted.")
    mean_value: list[float] = Field([], description="What is subtracted: one value, or one a channel.")
    mean_shape: list[int] = Field([], description="Shape of the mean image that is subtracted; empty: there is none.")
    channel_order: Literal["RGB", "BGR"] = Field("RGB", description="Order of three channels in the net's input.")
    class_names: list[str] = Field([], description="Names of the classes, by label.")
    table: dict[str, Any] | None = Field(
        None, description="Of samples of a table: its columns, their categories and means, so that others are read so."
    )

    _mean_image: Array | None = PrivateAttr(None)

    @property
    def mean_image(self) -> Array | None:
        """What is subtracted pixel by pixel before the crop, (C, H, W). It is an array, and so no part of the dump."""
        return self._mean_image

    def with_mean_image(self, image: Array) -> SampleInfo:
        """The same with a mean image."""
        info = self.model_copy(update={"mean_shape": list(image.shape)})
        info._mean_image = image
        return info
