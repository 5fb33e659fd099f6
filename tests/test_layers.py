"""Every check on every case, and that the tables leave no type and no parameter out."""

import contextlib
import inspect
import re

import pytest
from cases import CASES

from layerkit.checks import check_layer
from layerkit.checks.case import prepare
from layerkit.errors import ConfigError, ShapeError
from layerkit.graph import plan_alone
from layerkit.registry import family, layer_class, layer_types

NO_CASES = {
    "MemoryData": "has no samples until a program gives it some, as its own tests do",
    "Python": "runs its user's class, which must be allowed; its own tests do it, and run these checks on some",
}

IN_PARTS = ("Convolution", "Deconvolution", "DepthwiseConvolution", "Im2col", "Pooling", "SPP", "Unpooling", "Upsample")
"""Types that go through a few images at a time, as many as a buffer holds."""

MIXING = {
    *("BatchReindex", "Filter", "PSROIPooling", "ROIPooling"),  # an index says which rows
    *("DetectionOutput", "PriorBox", "Proposal"),  # their tops have other rows, or one
    *("GRU", "LSTM", "RNN", "Recurrent"),  # axis 0 is that of steps
    *("Cond", "Repeat"),  # as their bodies do
}
"""Types, none of them a loss, a metric or a source, that never act row by row."""

TYPES = [name for name in layer_types() if family(name) != "plug-in"]
LENGTHS = (2, 6, 4, 5, 3)


def accepts(case, axes):
    """Whether the layer of this row also takes a bottom 0 of so many axes, and others that may go with it."""
    x = LENGTHS[:axes]
    for other in (x, x[:1], x[:2], (*x[:1], *x[2:])):
        layer = case.layer_type(case.layer_type.Params.model_validate(dict(case.params)), case.phase, case.num_tops)
        with contextlib.suppress(ShapeError, ConfigError):
            plan_alone(layer, x, *[other] * (len(case.bottoms) - 1))
            return True
    return False


@pytest.mark.parametrize("case", CASES, ids=str)
def test_layer(case):
    check_layer(case)


@pytest.mark.parametrize("case", [case for case in CASES if case.type in IN_PARTS], ids=str)
def test_one_image_at_a_time(case, monkeypatch):
    for layer in ("kernels", "window"):
        monkeypatch.setattr(f"layerkit.layers.vision.{layer}.BUFFER", 1)
    check_layer(case)


def test_no_two_cases_have_one_name():
    names = [str(case) for case in CASES]
    assert sorted(names) == sorted(set(names))


def test_exemptions_are_of_types_without_cases():
    assert set(NO_CASES) <= set(TYPES) - {case.layer_type.__name__ for case in CASES}


@pytest.mark.parametrize("name", TYPES)
class TestType:
    def test_has_cases_for_every_parameter(self, name):
        if name in NO_CASES:
            return
        rows = [case for case in CASES if case.layer_type is layer_class(name)]
        assert rows, f"{name} has no row in tests/cases"
        models = [case.layer_type.Params.model_validate(dict(case.params)) for case in rows]
        for field, info in layer_class(name).Params.model_fields.items():
            default = info.get_default(call_default_factory=True)
            assert any(getattr(model, field) != default for model in models), f"no row of {name} sets {field}"

    def test_has_cases_for_every_number_of_axes(self, name):
        rows = [case for case in CASES if case.layer_type is layer_class(name) and case.bottoms]
        covered = {prepare(case).bottom[0].data.ndim for case in rows}
        accepted = {axes for axes in range(len(LENGTHS) + 1) if any(accepts(case, axes) for case in rows)}
        assert accepted - covered == set(), f"no row of {name} has a bottom 0 of so many axes"

    def test_acts_row_by_row_where_it_can(self, name):
        rows = [case for case in CASES if case.layer_type is layer_class(name)]
        never = name in MIXING or layer_class(name).loss or layer_class(name).metric or family(name) == "data"
        assert any(prepare(case).plan.by_rows for case in rows) != (never or name in NO_CASES)

    def test_every_parameter_is_described(self, name):
        for field, info in layer_class(name).Params.model_fields.items():
            assert (info.description or "").endswith("."), f"{name}.{field} has no description"

    def test_docstring_has_shapes_and_source(self, name):
        doc = inspect.cleandoc(vars(layer_class(name)).get("__doc__") or "")  # its own, not its base's
        assert re.search(r"^Source: ", doc, re.MULTILINE), f"{name} does not say where its formula is from"
        assert re.search(r"\bbottoms?\b", doc, re.IGNORECASE), f"{name} does not give its bottoms' shapes"
        assert re.search(r"\btops?\b", doc, re.IGNORECASE), f"{name} does not give its tops' shapes"
