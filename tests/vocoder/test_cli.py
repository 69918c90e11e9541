from __future__ import annotations

import argparse
import importlib

import pytest

from vocoder.cli import COMMANDS, main


def test_usage_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert [name in text and summary in text for name, (_, summary) in COMMANDS.items()] == [True] * len(COMMANDS)
    assert main([]) == 2


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
