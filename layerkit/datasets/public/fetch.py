"""`layerkit data fetch`: brings a public set into the cache, from its mirrors or from what the user already has."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from pathlib import Path

from layerkit.datasets.public import taking
from layerkit.datasets.public.download import Progress, download
from layerkit.datasets.public.places import cache_dir, system_places
from layerkit.datasets.public.published import PUBLISHED
from layerkit.errors import UnknownNameError


def fetch(
    name: str,
    from_path: str | PathLike[str] | None = None,
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
) -> Path:
    """Have the files of a public set (mnist, fashion_mnist, cifar10, cifar100) on this machine; the folder of them.

    Without `from_path` they are downloaded into the cache, each verified, unless they lie there or where the operating
    system's package puts them. With it they are copied into the cache from that folder or zip, tar or tar.gz.
    `progress` and `stop` are as of `download`.

    Raises UnknownNameError for another name, DataError, in one sentence, where a file cannot be had, is not what was
    published, or cannot be written; no file is then left under its name that is not whole.
    """
    if name not in PUBLISHED:
        raise UnknownNameError("public dataset", name, PUBLISHED)
    files, folder = PUBLISHED[name], cache_dir() / name
    places = [folder, *system_places(name)] if from_path is None else [folder]
    for place in places:
        if not taking.lacking(files, place):
            return place
    taking.refuse_others(files, folder)
    if from_path is not None:
        taking.take(files, Path(from_path), folder, progress)
    else:
        for file in taking.lacking(files, folder):
            download(file.urls, folder / file.name, file.sha256, file.size, progress, stop)
    return folder


__all__ = ["Progress", "fetch"]
