import subprocess
import sys
from unittest.mock import Mock

import pytest

import vocoder
from vocoder.cli import COMMANDS, main


def test_usage_lists_every_command(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert [name in text and summary in text for name, (_, summary) in COMMANDS.items()] == [True] * len(COMMANDS)
    assert main([]) == 2


def test_interrupts_a_lack_of_memory_and_closed_pipes_print_no_traceback(monkeypatch, capsys):
    lack = RuntimeError("can't allocate memory"), 1, "there is not enough memory: can't allocate memory"
    for error, status, said in ((KeyboardInterrupt(), 130, "interrupted"), lack):
        monkeypatch.setattr("vocoder.commands.models.run", Mock(side_effect=error))
        assert main(["models"]) == status
        assert capsys.readouterr().err == f"vocoder models: {said}\n"
    command = [sys.executable, "-c", "import sys; from vocoder.cli import main; sys.exit(main(['--help']))"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


REPEATED = {
    "synthesize a.npy -o a.wav --sharpen 0 --sharpen 1": "--sharpen",
    "synthesize -o a.wav a.npy --output=b.wav": "-o/--output",
    "synthesize a.npy -o a.wav --row-frames 9 --row-frames 9": "--row-frames",
    "synthesize a.npy -o a.wav --no-origin --no-origin": "--no-origin",
    "benchmark --seconds 1 2 --seconds 3": "--seconds",
}


@pytest.mark.parametrize(("arguments", "option"), REPEATED.items())
def test_repeated_options_are_rejected(arguments, option, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments.split())
    assert capsys.readouterr().err.endswith(f": error: argument {option}: give it once, not several times\n")


LIGHT = "import vocoder; dir(vocoder); vocoder.__version__; vocoder.preset('nvidia'); import vocoder.cli"
LIGHT += "; from vocoder.client import Client; from vocoder.audio import read_audio, write_audio"


def test_every_public_name_exists_and_torch_is_imported_only_when_needed():
    assert {name for name in vocoder.__all__ if not hasattr(vocoder, name)} == set()
    assert set(vocoder.__all__) <= set(dir(vocoder))
    assert vocoder.load is vocoder.load
    code = f"{LIGHT}; import sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
