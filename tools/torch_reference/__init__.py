"""What tools/record_torch.py records: a module a family with its `RECORDINGS`; a new file needs no registration."""

from __future__ import annotations

import importlib
import pkgutil

from torch_reference.recording import Recording


def recordings() -> list[Recording]:
    """Those of all families."""
    names = [module.name for module in pkgutil.iter_modules(__path__) if module.name != "recording"]
    families = [importlib.import_module(f"{__name__}.{name}") for name in sorted(names)]
    return [each for family in families for each in family.RECORDINGS]
