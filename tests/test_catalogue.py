"""`layerkit layers`, the index in configs/LAYERS.md, and what every type's docstring must say for them."""

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

import layerkit as lk
from layerkit.errors import Problems
from layerkit.fields import Strict
from layerkit.fillers import Filler, Float32
from layerkit.layer import LayerParams
from layerkit.registry import family, layer_types
from layerkit.report import catalogue
from layerkit.spec.layer import read_layer
from layerkit.text import parse

TYPES = [name for name in layer_types() if family(name) != "plug-in"]
INDEX = Path(__file__).parents[1] / "configs" / "LAYERS.md"


def test_the_index_is_fresh():
    stale = "stale: run `layerkit layers --markdown > configs/LAYERS.md`"
    assert INDEX.read_text(encoding="utf-8") == catalogue.markdown(), stale


@pytest.mark.parametrize("name", TYPES)
class TestPage:
    def test_summary_is_one_short_sentence(self, name):
        summary = catalogue.page(name).summary
        assert summary.endswith(".")
        assert not summary.startswith(f"{name}:")  # it stands behind the name already
        assert len(summary) <= 90, summary

    def test_example_is_valid(self, name):
        problems = Problems()
        spec = read_layer(parse(catalogue.page(name).example), "train", (), problems)
        assert not problems.found
        assert spec.type == name

    def test_says_where_it_is_from(self, name):
        assert catalogue.page(name).source.endswith(".")


class Nested(Strict):
    """A mapping without a short form."""

    top_k: int = Field(-1, ge=-1, description="How many stay.")


class Everything(LayerParams):
    """One of each kind of field."""

    number: float = Field(0.5, gt=0, le=1, description="A number.")
    count: int = Field(gt=0, description="It must be given.")
    sizes: list[Annotated[int, Field(gt=0)]] = Field([1, 2], description="A list.")
    shape: list[int] | list[list[int]] = Field([], description="One of two.")
    limit: Annotated[int, Field(ge=0)] | None = Field(None, description="It may be absent.")
    pool: Literal["MAX", "AVE"] = Field("MAX", description="A choice.")
    on: bool = Field(True, description="A switch.")
    filler: Filler = Field(Filler(type="gaussian", std=0.01), description="A filler.")
    nested: Nested = Field(Nested(), description="A mapping.")
    weight: Float32 = Field(1.0, description="A number that float32 can hold.")
    layers: list[Any] = Field([], description="A body.")


def test_parameters_in_words():
    assert [(each.name, each.kind, each.default) for each in catalogue.parameters(Everything)] == [
        ("count", "whole number > 0", None),
        ("number", "number > 0 and <= 1", "0.5"),
        ("sizes", "list of whole numbers > 0", "[1, 2]"),
        ("shape", "list of whole numbers or list of lists of whole numbers", ""),
        ("limit", "whole number >= 0", ""),
        ("pool", "MAX or AVE", "MAX"),
        ("on", "true or false", "true"),
        ("filler", "filler (its type, or a mapping)", "{type: gaussian, std: 0.01}"),
        ("nested", "mapping", ""),
        ("nested.top_k", "whole number >= -1", "-1"),
        ("weight", "number", "1"),
        ("layers", "list of anything", ""),
    ]


def test_the_command_lists_all_types(command):
    said = command("layers")
    assert said.status == 0
    lines = said.out.splitlines()
    assert set(TYPES) <= {line.split()[0] for line in lines if line.startswith("  ")}
    assert "  ReLU6                    Rectified linear unit that stops at 6: y = min(max(x, 0), 6)." in lines
    assert "activation:" in lines


def test_the_command_explains_a_type(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    said = command("layers", "Pooling", "ReLU6")
    assert said.status == 0
    running = [line for line in said.out.splitlines() if not line.startswith("   ")]
    assert max(len(line) for line in running if "{" not in line) <= 60
    for part in (
        "Pooling (vision): ",
        "    MAX                 y = max x; the gradient goes to the first",
        "  pool: MAX, AVE or STOCHASTIC; default MAX\n      What is made of a window's elements.",
        "Fields of every layer: name, bottom, top, include, exclude,",
        "Example:\n  - {name: pool1, type: Pooling, pool: MAX, kernel_size: 3, stride: 2}",
        "\nSource: Zeiler and Fergus 2013",
        "\n\nReLU6 (activation): Rectified linear unit",
        "It has no parameters of its own.",
    ):
        assert part in said.out


@pytest.mark.parametrize(
    ("kind", "lines"),
    [
        ("BatchNorm", ["while training   mean and variance are those", "otherwise        mean and variance are the"]),
        ("Eltwise", ["SUM:   y = sum_i", "PROD:  y = product_i", "MAX:   y = max_i"]),
        ("Dropout", ["train:          y = kept", "test, predict:  y = x"]),
    ],
)
def test_tables_by_hand_stay_as_they_are(command, kind, lines):
    shown = [line.strip() for line in command("layers", kind).out.splitlines()]
    assert all(any(line.startswith(start) for line in shown) for start in lines)


def test_a_required_parameter_is_said_to_be_one(command):
    assert "  num_output: whole number > 0; required\n" in command("layers", "InnerProduct").out


def test_an_unknown_type_is_one_sentence(command):
    said = command("layers", "Poling")
    assert (said.status, said.out) == (2, "")
    assert said.err.count("\n") == 1
    assert "did you mean 'Pooling'?" in said.err


def test_the_command_writes_the_index(command):
    assert command("layers", "--markdown").out == INDEX.read_text(encoding="utf-8")
    assert command("layers", "ReLU", "--markdown").err == "TYPE means nothing beside --markdown\n"


def test_a_type_from_elsewhere_may_say_less(command):
    @lk.register
    class Undocumented(lk.Layer):
        pass

    assert command("layers", "Undocumented").out.startswith("Undocumented (plug-in):\n")


def test_models_that_are_told_apart_by_their_type_are_listed_by_it():
    kinds = {each.name: each.kind for each in catalogue.page("Data").parameters}
    assert kinds["transform"].startswith("list of affine, center_crop, ")
    assert kinds["transform"].endswith("resize or rotate, alone or as the type of a mapping")
    assert "digits, " in kinds["dataset"]
