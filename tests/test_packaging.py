"""What the package's metadata and the installed tree must hold."""

import re
import tomllib
from pathlib import Path

import layerkit
from layerkit.cli import complete

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def names(requirements: list[str]) -> set[str]:
    return {re.match(r"[\w-]+", requirement)[0] for requirement in requirements}


def test_dependencies_are_few():
    assert names(PROJECT["project"]["dependencies"]) == {
        "numpy", "pyyaml", "pydantic", "safetensors", "threadpoolctl", "rich", "typer",
    }  # fmt: skip


def test_extras_are_those_planned():
    extras = PROJECT["project"]["optional-dependencies"]
    assert {"fast", "test", "dev"} <= set(extras) <= {"fast", "data", "caffe", "onnx", "plot", "test", "dev"}


def test_the_versions_agree():
    assert PROJECT["project"]["version"] == layerkit.__version__
    assert layerkit.__version__ in (ROOT / "README.md").read_text(encoding="utf-8").split("## Changes")[1]


def test_licence_and_author():
    project = PROJECT["project"]
    assert project["license"] == "BSD-2-Clause"
    assert project["authors"] == [{"name": "the layerkit authors"}]
    assert "the layerkit authors" in (ROOT / "LICENSE").read_text(encoding="utf-8")


def test_data_lies_beside_the_code():
    package = Path(layerkit.__file__).parent
    assert (package / "py.typed").exists()
    for name in ("digits", "shakespeare"):
        assert 0 < (package / "datasets" / "bundled" / f"{name}.npz").stat().st_size < 100_000
    assert (complete.configs() / "mlp.yaml").exists()


def test_the_wheel_carries_the_configs():
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == ["layerkit"]
    assert wheel["force-include"] == {"configs": "layerkit/configs"}
