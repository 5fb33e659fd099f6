"""Makes the pictures that the README shows, by layerkit's own command: a net, and the curves of a training run.

    python tools/make_pictures.py

writes `tools/pictures/net.svg` and `tools/pictures/curve.svg`. It needs an environment with '.[fast,plot]'.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "tools" / "pictures"
SMALL = 60_000
"""Bytes of a picture at most: it is shown at the head of a page."""

COMMANDS = (
    ("draw", "configs/siamese.yaml", "-o", PICTURES / "net.svg"),
    ("train", "configs/mlp.yaml", "--set", "solver.display=5", "--set", "solver.test_interval=40", "--quiet"),
    ("plot", "runs/mlp", "--metrics", "loss,accuracy", "--smooth", "7", "-o", PICTURES / "curve.svg"),
)


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "configs").symlink_to(ROOT / "configs")
        for command in COMMANDS:
            subprocess.run([sys.executable, "-m", "layerkit", *map(str, command)], cwd=folder, check=True)
    for picture in sorted(PICTURES.iterdir()):
        size = picture.stat().st_size
        print(f"{picture.relative_to(ROOT)}: {size:,} bytes{'' if size <= SMALL else f', more than {SMALL:,}'}")


if __name__ == "__main__":
    main()
