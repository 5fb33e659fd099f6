"""The tables of layer cases: each module here is a family with its own `CASES`; a new file needs no registration."""

import importlib
import pkgutil

from layerkit.checks import Case

CASES: list[Case] = [
    case
    for module in pkgutil.iter_modules(__path__, f"{__name__}.")
    for case in importlib.import_module(module.name).CASES
]
