"""Makes `cases` importable from the tests, whichever layerkit (installed or the checkout) they run against."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
