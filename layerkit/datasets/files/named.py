"""What kinds of files have in common whose labels are numbers, and those that hold images."""

from __future__ import annotations

from pydantic import Field, model_validator

from layerkit.datasets.dataset import Dataset
from layerkit.datasets.files.lists import read_names


class Named(Dataset):
    """A dataset whose labels are numbers; its classes have names if these are given."""

    class_names: list[str] = Field(
        [], description="Names of the classes, in the order of their labels; a label beyond them is an error."
    )
    class_file: str | None = Field(None, description="Text file with the names of the classes, one a line.")

    @model_validator(mode="after")
    def _named_once(self) -> Named:
        if self.class_names and self.class_file is not None:
            raise ValueError("give class_names or class_file, not both")
        if len(set(self.class_names)) < len(self.class_names):
            raise ValueError("class_names must differ from each other")
        return self

    def names(self) -> tuple[str, ...]:
        """Names of the classes; none where none are given. Raises DataError for a file that cannot be read."""
        return tuple(self.class_names if self.class_file is None else read_names(self.class_file))


class NamedImages(Named):
    """A dataset of image files, each with a label."""

    color: bool = Field(True, description="Whether images are read in colour, three channels, or else in grey, one.")
    min_side: int = Field(
        0,
        ge=0,
        description="Decode a JPEG at 1/2, 1/4 or 1/8 of its size if both sides stay at least so long, which is "
        "quicker; 0 decodes all in full.",
    )
