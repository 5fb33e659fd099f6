"""The shipped configs, and what their comments tell to try."""

import textwrap
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "configs"


def config(name: str) -> Path:
    """The path of a config, named without `.yaml`."""
    return FOLDER / f"{name}.yaml"


def told_in_python(name: str) -> str:
    """The Python in a config's comments: the indented lines from `import layerkit` on."""
    lines = [line.removeprefix("#").rstrip() for line in config(name).read_text().splitlines()]
    start = next(i for i, line in enumerate(lines) if line.strip() == "import layerkit as lk")
    end = next((i for i in range(start, len(lines)) if not lines[i]), len(lines))
    return textwrap.dedent("\n".join(lines[start:end]))
