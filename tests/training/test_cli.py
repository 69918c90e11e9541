"""Every command has a module, and help comes at once: torch is loaded when a command works."""

import importlib
import subprocess
import sys

from training import cli

LIGHT = ("prepare", "evaluate", "finetune", "publish", "distill")
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


def test_every_command_can_be_loaded():
    modules = [importlib.import_module(module) for module, *_ in cli.COMMANDS.values()]
    assert all(callable(module.run) and callable(module.add_arguments) for module in modules)


def test_no_help_waits_for_torch():
    done = subprocess.run([sys.executable, "-c", PROGRAM, *LIGHT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("usage: vocoder-train ") == len(LIGHT)
