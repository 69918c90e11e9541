"""Every command has a module and prints help without loading torch."""

import importlib
import subprocess
import sys

from evaluation_corpus import touch

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
MISTAKES = """
import sys
from training.cli import main

voice, output = sys.argv[1:]
assert main(["finetune", "nowhere", "-o", output]) == 2
for wrong in (["--start-from", "revers"], ["--mels", "nowhere"], ["--licence", "Foo"]):
    assert main(["finetune", voice, "-o", output, *wrong]) == 2
assert "torch" not in sys.modules
"""


def test_every_command_can_be_imported_and_help_does_not_load_torch():
    modules = [importlib.import_module(module) for module, *_ in cli.COMMANDS.values()]
    assert all(callable(module.run) and callable(module.add_arguments) for module in modules)
    done = subprocess.run([sys.executable, "-c", PROGRAM, *LIGHT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("usage: vocoder-train ") == len(LIGHT)


def test_invalid_arguments_of_finetune_are_reported_before_torch_is_loaded(tmp_path):
    touch(tmp_path, "voice/a.wav")
    command = [sys.executable, "-c", MISTAKES, str(tmp_path / "voice"), str(tmp_path / "mine")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    texts = ("nowhere is not a folder", "did you mean reverse?", "not a folder of mels", "unknown licence 'Foo'")
    for line, text in zip(done.stderr.splitlines(), texts, strict=True):
        assert text in line
