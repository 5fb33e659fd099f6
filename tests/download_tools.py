"""What the tests of downloads share: a file to fetch, and the outcome of fetching it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from web_tools import serving

import layerkit as lk
from layerkit.datasets.public.download import download

CONTENT = hashlib.shake_128(b"layerkit").digest(700_001)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HALF = 300_000


@pytest.fixture(name="site")
def serving_site(monkeypatch):
    """A server that the client reaches without a proxy."""
    monkeypatch.setenv("no_proxy", "*")
    with serving() as running:
        yield running


@pytest.fixture(name="path")
def new_path(tmp_path):
    """Where the file is to lie, in a folder that is not there yet."""
    return tmp_path / "new" / "file.gz"


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.parent.iterdir()) if path.parent.exists() else []


def get(path: Path, *urls: str, **options) -> None:
    download(urls, path, SHA256, **{"size": len(CONTENT), "timeout": 5, **options})


def refused(path: Path, *urls: str, **options) -> str:
    """The one sentence of a download that fails; nothing lies under the file's name."""
    with pytest.raises(lk.DataError) as caught:
        get(path, *urls, **options)
    assert not path.exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)
