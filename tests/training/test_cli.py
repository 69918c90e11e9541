from __future__ import annotations

import argparse
import importlib

import pytest

from training import cli


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_can_be_loaded(name):
    module = importlib.import_module(cli.COMMANDS[name][0])
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    assert callable(module.run)
    assert parser.format_usage()
