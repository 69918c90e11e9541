from __future__ import annotations

import argparse
import importlib
import subprocess
import sys

import pytest

from vocoder import __version__
from vocoder.cli import COMMANDS, main


def test_usage_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert [name in text and summary in text for name, (_, summary) in COMMANDS.items()] == [True] * len(COMMANDS)
    assert main([]) == 2


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"vocoder {__version__}\n"


def test_a_closed_pipe_is_no_traceback() -> None:
    command = [sys.executable, "-c", "import sys; from vocoder.cli import main; sys.exit(main(['--help']))"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_declares_its_arguments(name: str) -> None:
    parser = argparse.ArgumentParser()
    importlib.import_module(COMMANDS[name][0]).add_arguments(parser)
    assert parser.format_help().count("-h, --help") == 1
    assert parser.description


def test_an_unknown_command_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sing"]) == 2
    error = capsys.readouterr().err
    assert error == f"vocoder: there is no command 'sing'; known: {', '.join(COMMANDS)}\n"


def test_a_keyboard_interrupt_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: argparse.Namespace) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("vocoder.commands.models.run", interrupted)
    assert main(["models"]) == 130
    assert capsys.readouterr().err == "vocoder models: interrupted\n"
