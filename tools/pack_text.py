"""Packs a plain text into layerkit/datasets/bundled/shakespeare.npz; run once, and again for another text.

    python tools/pack_text.py hamlet_gut.txt

The text is Shakespeare's Hamlet, Prince of Denmark, as the Python package `shakespeare` 0.6 carries it
(shksprdata/texts/hamlet_gut.txt). It must be plain ASCII; line ends become single line feeds, blank lines at its ends
go. The file holds `text`, its bytes, and the `credit`. What layerkit/datasets/bundled/shakespeare.py says of the text
must fit: this prints what to say.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

TARGET = Path(__file__).parents[1] / "layerkit" / "datasets" / "bundled" / "shakespeare.npz"
CREDIT = "William Shakespeare, Hamlet, Prince of Denmark (about 1600); in the public domain"


def main() -> None:
    """Write the file, and print how long the text is and which characters it has."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, metavar="TEXT")
    text = parser.parse_args().path.read_text("ascii").strip() + "\n"
    np.savez_compressed(TARGET, text=np.frombuffer(text.encode(), np.uint8), credit=np.array(CREDIT.encode()))
    print(f"{TARGET}: {TARGET.stat().st_size} bytes")
    print(f"LENGTH = {len(text)}")
    print(f"CHARACTERS = {''.join(sorted(set(text)))!r}")


if __name__ == "__main__":
    main()
