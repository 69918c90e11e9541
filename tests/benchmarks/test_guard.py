"""The guard names every convention that the benchmark computes, on the recording that comes with the project."""

import pytest
import torch
from recordings import RECORDING

from benchmarks.guard_conventions import CONVENTIONS, TRUE_VARIANTS, true_mel
from vocoder.audio.reading import read_audio
from vocoder.guard.guard import check

TOO_NEAR = {"hop of 200", "hop of 300", "hop of 512", "audio at 16 kHz", "audio at 24 kHz"}


@pytest.fixture(scope="module")
def x():
    return torch.from_numpy(read_audio(RECORDING, 22050)[0])


@pytest.mark.parametrize("convention", [c for c in CONVENTIONS if c.name not in TOO_NEAR], ids=lambda c: c.name)
def test_a_wrong_convention_is_named(x, convention):
    verdict = check(convention.mels([x])[0])
    assert not verdict.typical
    assert convention.cause in (None, verdict.cause)
    if not convention.normalised:  # the statistics of one recording hide which bands they are of
        assert convention.cause is None or verdict.preset == convention.preset


@pytest.mark.parametrize("name", TRUE_VARIANTS)
def test_what_acoustic_models_do_is_no_fault(x, name):
    assert check(TRUE_VARIANTS[name](true_mel(x))).typical
