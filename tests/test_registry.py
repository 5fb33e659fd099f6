"""The registry of layer types: who may have which name, and that what is imported is known."""

from __future__ import annotations

import importlib

import pytest

from layerkit import registry
from layerkit.errors import UnknownNameError, UsageError
from layerkit.layer import Layer


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is registered here is forgotten."""
    monkeypatch.setattr(registry, "_types", dict(registry._types))


class Doubled(Layer):
    """A type of a user's own."""


def test_a_type_is_known_once_it_is_registered_and_may_be_registered_again() -> None:
    assert registry.register(Doubled) is Doubled
    registry.register(Doubled)  # as where a notebook's cell is run again
    assert registry.layer_class("Doubled") is Doubled
    assert "Doubled" in registry.layer_types()
    assert registry.family("Doubled") == "plug-in"


def test_two_types_cannot_have_one_name() -> None:
    registry.register(Doubled)
    other = type("Doubled", (Layer,), {"__qualname__": "elsewhere.Doubled"})
    with pytest.raises(UsageError, match=f"a layer type 'Doubled' is registered already, by {__name__}"):
        registry.register(other)
    with pytest.raises(UsageError, match="a layer type 'ReLU' is built in; choose another name"):
        registry.register(type("ReLU", (Layer,), {}))


def test_a_type_is_known_though_its_module_was_imported_while_another_registry_was_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = importlib.import_module("layerkit.layers.activation.relu")
    monkeypatch.delitem(registry._types, "ReLU", raising=False)
    assert registry.layer_class("ReLU") is module.ReLU


def test_a_name_that_nobody_has_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="there is no layer type 'Relu'; did you mean 'ReLU'"):
        registry.layer_class("Relu")
