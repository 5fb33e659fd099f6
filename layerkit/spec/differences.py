"""What differs between two runs, for people who go on with one after they edited it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """What differs between two resolved runs, a line each: `solver.base_lr: 0.1 -> 0.01`.

    Layers are told apart by name, those without one by type and number: `net.layers.ReLU#2.negative_slope: 0 -> 0.1`.
    """
    if isinstance(old, list) and isinstance(new, list):
        layers, others = _by_name(old), _by_name(new)
        old, new = (old, new) if layers is None or others is None else (layers, others)
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = [*old, *(key for key in new if key not in old)]
        return [
            line for key in keys for line in differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
        ]
    was, now = _texts(old, new)
    return [] if was == now else [f"{path}: {was} -> {now}"]


def _by_name(items: list[Any]) -> dict[str, Any] | None:
    """Layers by name, those without one by type and number; None for a list that is not one of layers."""
    found: dict[str, Any] = {}
    numbers: Counter[str] = Counter()
    for item in items:
        layer = item if isinstance(item, Mapping) else {}
        name, kind = layer.get("name"), layer.get("type", layer.get("block"))
        if not name and isinstance(kind, str):
            numbers[kind] += 1
            name = f"{kind}#{numbers[kind]}"
        if not isinstance(name, str) or name in found:
            return None
        found[name] = item
    return found


def _texts(old: Any, new: Any) -> tuple[str, str]:
    """Two values as texts for one line; what is long is cut around the place where they begin to differ."""
    was, now = ("(none)" if value is None else json.dumps(value) for value in (old, new))
    same = next((k for k, (a, b) in enumerate(zip(was, now, strict=False)) if a != b), min(len(was), len(now)))
    start = max(0, same - 20) if max(len(was), len(now)) > 60 else 0
    return _cut(was, start), _cut(now, start)


def _cut(text: str, start: int) -> str:
    end = start + (60 if len(text) - start <= 60 else 57)
    return f"{'...' if start else ''}{text[start:end]}{'...' if end < len(text) else ''}"
