"""The house rules that a machine can hold: who imports whom, how long files are, what is public and documented."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

import layerkit as lk
from layerkit.fields import Strict
from layerkit.spec import PHASES

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "layerkit").rglob("*.py"))


def test_imports_go_in_the_directions_of_the_design(capsys: pytest.CaptureFixture[str]) -> None:
    status = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    assert status == EXIT_STATUS_SUCCESS, capsys.readouterr().out


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_short_and_says_what_it_is(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 400
    assert ast.get_docstring(ast.parse(text))


def test_no_layer_mentions_an_engine() -> None:
    engines = [path.name for path in (ROOT / "layerkit" / "engines").iterdir() if path.is_dir() and path.name[0] != "_"]
    named = re.compile(rf"engine|{'|'.join(engines)}", re.IGNORECASE)
    layers = [path for path in SOURCES if path.is_relative_to(ROOT / "layerkit" / "layers")]
    assert "onednn" in engines
    assert layers
    assert [str(path) for path in layers if named.search(path.read_text(encoding="utf-8"))] == []


def _public() -> Iterator[tuple[str, object]]:
    for module in pkgutil.walk_packages(lk.__path__, "layerkit."):
        if module.name == "layerkit.__main__":
            continue
        loaded = importlib.import_module(module.name)
        for name, thing in vars(loaded).items():
            if not name.startswith("_") and getattr(thing, "__module__", None) == module.name and callable(thing):
                yield f"{module.name}.{name}", thing
                if inspect.isclass(thing):
                    yield from _methods(f"{module.name}.{name}", thing)


def _methods(prefix: str, cls: type) -> Iterator[tuple[str, object]]:
    for name, member in vars(cls).items():
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if not name.startswith("_") and inspect.isfunction(function) and not _overrides(cls, name):
            yield f"{prefix}.{name}", function


def _overrides(cls: type, name: str) -> bool:
    return any(hasattr(base, name) for base in cls.__mro__[1:])


def test_what_is_public_is_documented() -> None:
    assert [name for name, thing in _public() if not inspect.getdoc(thing)] == []


def test_the_public_names_are_sorted_and_exist() -> None:
    assert lk.__all__ == sorted(lk.__all__)
    assert all(getattr(lk, name) is not None for name in lk.__all__)
    assert set(lk.__all__) <= set(dir(lk))
    with pytest.raises(AttributeError, match="no attribute 'Nett'"):
        _ = lk.Nett  # type: ignore[attr-defined]


def test_no_parameter_could_be_taken_for_a_value_per_phase() -> None:
    models = [lk.layer_class(name).Params for name in lk.layer_types()]
    while models:
        model = models.pop()
        assert not set(PHASES) & set(model.model_fields), model
        fields = model.model_fields.values()
        models += [f.annotation for f in fields if inspect.isclass(f.annotation) and issubclass(f.annotation, Strict)]


def test_importing_layerkit_imports_nothing_heavy() -> None:
    heavy = "'numpy', 'pydantic', 'yaml', 'rich', 'typer'"
    code = f"import sys, layerkit; print([name for name in ({heavy}) if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
