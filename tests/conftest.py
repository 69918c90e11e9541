"""Fixtures for all tests: fixed seeds, no settings from the environment; a tiny model and float64 on request."""

import os
import time

import hypothesis
import pytest
import torch
from tiny_models import save_quiet_model

hypothesis.settings.register_profile("suite", deadline=None)  # cores may be busy
hypothesis.settings.load_profile("suite")


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float32)


@pytest.fixture(autouse=True)
def _no_environment_settings(monkeypatch):
    for name in [name for name in os.environ if name.startswith("VOCODER_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def wait_until():
    def wait(condition, seconds=60.0):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"timed out after {seconds} seconds"
            time.sleep(0.02)

    return wait


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """Return the directory of a tiny model."""
    return save_quiet_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def cli_error(capsys):
    """Return a function that runs a command with invalid arguments and returns its one-line error."""

    def run(main, *arguments):
        capsys.readouterr()
        assert main([str(argument) for argument in arguments]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1, error
        return error

    return run


@pytest.fixture
def float64():
    """Make float64 the default dtype, for precise comparisons."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)
