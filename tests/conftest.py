"""What holds for all tests: the same random numbers, no settings of the machine, float64 where it is asked for."""

import os
import time

import pytest
import torch


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch):
    for name in [name for name in os.environ if name.startswith("VOCODER_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def wait_until():
    def wait(condition, seconds=60.0):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"waited {seconds} seconds in vain"
            time.sleep(0.02)

    return wait


@pytest.fixture
def refusal(capsys):
    """Run a command that refuses its arguments in one line, and return that line."""

    def run(main, *arguments):
        capsys.readouterr()
        assert main([str(argument) for argument in arguments]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1, error
        return error

    return run


@pytest.fixture
def float64():
    """Make float64 the type of new tensors, so that mathematics is compared to many digits."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)
