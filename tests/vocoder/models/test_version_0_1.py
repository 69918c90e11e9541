"""Model directories as version 0.1 wrote them: they load, and speak as they did before any correction."""

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from vocoder.checkpoint import load_model
from vocoder.synthesis.synthesizer import Synthesizer

DIRECTORIES = sorted((Path(__file__).parent / "version_0_1").iterdir())


@pytest.mark.parametrize("directory", DIRECTORIES, ids=lambda path: path.name)
def test_what_version_0_1_wrote_speaks_as_it_did_at_once_and_in_chunks(directory):
    checkpoint = load_model(directory)
    v = Synthesizer(checkpoint, directory.name, "cpu", torch.float32, guard="off")
    n_mels = checkpoint.mel_config.n_mels
    mel = -6 + 2 * torch.sin(torch.arange(n_mels * 9.0)).reshape(n_mels, 9)
    expected = torch.from_numpy(np.load(directory / "audio.npy"))
    chunks = v.stream(mel, seed=1, corrections=0, chunk_frames=2, first_chunk_frames=1)
    if directory.name == "wavenet":  # slow: its first frame
        expected, chunks = expected[: v.hop_length], islice(chunks, 1)
    else:
        torch.testing.assert_close(v.synthesize(mel, seed=1, corrections=0), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(torch.cat(list(chunks)), expected, rtol=0, atol=1e-5)


def test_corrections_over_half_the_frames_cost_what_those_of_version_0_1_did():
    (lapped,) = (directory for directory in DIRECTORIES if directory.name == "waveglow-lapped")
    assert json.loads((lapped / "config.json").read_text())["architecture"]["consistency_steps"] == 1
    assert load_model(lapped).model.config.corrections == 2
