from __future__ import annotations

import argparse
import importlib

import pytest

from training import cli
from training.loop.stopping import TrainingError


def command(error: BaseException | None) -> type:
    class Fake:
        @staticmethod
        def add_arguments(parser: argparse.ArgumentParser) -> None:
            parser.add_argument("words", nargs="*")
            parser.add_argument("--flag", action="store_true")

        @staticmethod
        def run(args: argparse.Namespace) -> int:
            if error is not None:
                raise error
            print(args.words, args.flag)
            return 0

    return Fake


@pytest.fixture
def with_command(monkeypatch):
    def install(error: BaseException | None) -> None:
        monkeypatch.setattr(cli, "COMMANDS", {"fake": ("fake", "does as it is told")})
        monkeypatch.setattr(importlib, "import_module", lambda name: command(error))

    return install


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (ValueError("steps must be\nabove 0"), 2, "steps must be above 0"),
        (FileNotFoundError(2, "No such file", "x.wav"), 2, "x.wav"),
        (TrainingError("not finite"), 1, "not finite"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_failure_is_one_line(with_command, capsys, error, status, text):
    with_command(error)
    assert cli.main(["fake"]) == status
    output = capsys.readouterr()
    assert output.out == ""
    assert text in output.err
    assert output.err.count("\n") == 1


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_can_be_loaded(name):
    module = importlib.import_module(cli.COMMANDS[name][0])
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    assert callable(module.run)
    assert parser.format_usage()
