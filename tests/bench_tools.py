"""What the tests of tools/bench.py share: the script as a module, and its parts."""

import importlib.util
import sys
from contextlib import contextmanager
from pathlib import Path

TOOLS = Path(__file__).parents[1] / "tools"


@contextmanager
def loaded():
    """The script as a module, for as long as it is needed."""
    before, known = list(sys.path), set(sys.modules)
    spec = importlib.util.spec_from_file_location("bench_script", TOOLS / "bench.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    yield script
    sys.path[:] = before
    for name in set(sys.modules) - known:
        if name.split(".")[0] == "bench":
            del sys.modules[name]


def part(name):
    """One of its modules."""
    return importlib.import_module(f"bench.{name}")
