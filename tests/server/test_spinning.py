"""Threads of a model fall asleep soon after a run, unless somebody chose otherwise."""

from __future__ import annotations

import subprocess
import sys

import pytest

from server.cli import prepare_computing


def test_threads_are_to_watch_briefly() -> None:
    environment = {"HOME": "/"}
    prepare_computing(environment)
    assert environment == {"HOME": "/", "GOMP_SPINCOUNT": "10000"}


@pytest.mark.parametrize("chosen", [{"GOMP_SPINCOUNT": "5"}, {"OMP_WAIT_POLICY": "active"}])
def test_the_environment_chooses(chosen: dict[str, str]) -> None:
    environment = dict(chosen)
    prepare_computing(environment)
    assert environment == chosen


def test_the_program_says_so_before_pytorch_is_loaded() -> None:
    code = "import sys, server.cli; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False"]
