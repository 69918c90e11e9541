"""Let the tests of this folder share `evaluation_corpus` with those of training."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
