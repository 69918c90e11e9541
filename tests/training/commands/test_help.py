"""Help comes at once: torch is loaded when a command works."""

from __future__ import annotations

import subprocess
import sys

COMMANDS = ("prepare", "evaluate", "finetune", "publish", "distill")
PROGRAM = """
import sys
from training.cli import main

for name in sys.argv[1:]:
    try:
        main([name, "--help"])
    except SystemExit:
        pass
assert not {"torch", "scipy", "librosa", "numba"} & sys.modules.keys(), sorted(sys.modules)
"""


def test_no_help_waits_for_torch() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, *COMMANDS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("usage: vocoder-train ") == len(COMMANDS)
