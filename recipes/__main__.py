"""`python -m recipes NAME ...`: what made the shipped files."""

from __future__ import annotations

import sys

from vocoder.program import run_program

RECIPES = {
    "pitch": ("recipes.pitch.train", "fit the network that reads the pitch from the mel"),
    "pitch-table": ("recipes.pitch.table", "measure pitch networks beside a tracker, by voice and playing speed"),
}

if __name__ == "__main__":
    sys.exit(run_program("recipes", RECIPES, None, extra="training"))
