"""The guard recognises every convention of the benchmark on the project's recording."""

import pytest
import torch
from recordings import RECORDING

from benchmarks.guard_conventions import CONVENTIONS, TRUE_VARIANTS, true_mel
from vocoder.audio.reading import read_audio
from vocoder.guard.guard import check

TOO_SIMILAR = {"hop of 200", "hop of 300", "hop of 512", "n_fft of 2048", "audio at 16 kHz", "audio at 24 kHz"}


@pytest.fixture(scope="module")
def x():
    return torch.from_numpy(read_audio(RECORDING, 22050)[0])


@pytest.mark.parametrize("convention", [c for c in CONVENTIONS if c.name not in TOO_SIMILAR], ids=lambda c: c.name)
def test_wrong_conventions_are_recognised(x, convention):
    verdict = check(convention.mels([x])[0])
    assert not verdict.typical
    assert convention.cause in (None, verdict.cause)
    if not convention.normalised:  # normalising one recording hides its bands
        assert convention.cause is None or verdict.preset == convention.preset


@pytest.mark.parametrize("name", TRUE_VARIANTS)
def test_typical_changes_by_acoustic_models_are_accepted(x, name):
    assert check(TRUE_VARIANTS[name](true_mel(x))).typical
