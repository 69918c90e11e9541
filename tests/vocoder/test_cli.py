import argparse
import subprocess
import sys

from vocoder.cli import COMMANDS, main


def test_usage_names_every_command(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert [name in text and summary in text for name, (_, summary) in COMMANDS.items()] == [True] * len(COMMANDS)
    assert main([]) == 2


def test_a_closed_pipe_is_no_traceback():
    command = [sys.executable, "-c", "import sys; from vocoder.cli import main; sys.exit(main(['--help']))"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_a_keyboard_interrupt_is_no_traceback(monkeypatch, capsys):
    def interrupted(_: argparse.Namespace) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("vocoder.commands.models.run", interrupted)
    assert main(["models"]) == 130
    assert capsys.readouterr().err == "vocoder models: interrupted\n"
