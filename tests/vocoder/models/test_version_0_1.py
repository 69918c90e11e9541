"""Model directories written by version 0.1 load and give the same audio as then, without corrections."""

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
def test_models_of_version_0_1_give_the_same_audio_whole_and_in_chunks(directory):
    checkpoint = load_model(directory)
    v = Synthesizer(checkpoint, directory.name, "cpu", torch.float32, guard="off")
    n_mels = checkpoint.mel_config.n_mels
    mel = -6 + 2 * torch.sin(torch.arange(n_mels * 9.0)).reshape(n_mels, 9)
    expected = torch.from_numpy(np.load(directory / "audio.npy"))
    chunks = v.stream(mel, seed=1, corrections=0, chunk_frames=2, first_chunk_frames=1)
    if directory.name == "wavenet":  # slow: only the first frame
        expected, chunks = expected[: v.hop_length], islice(chunks, 1)
    else:
        torch.testing.assert_close(v.synthesize(mel, seed=1, corrections=0), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(torch.cat(list(chunks)), expected, rtol=0, atol=1e-5)


def test_one_correction_of_version_0_1_becomes_two_over_half_the_frames():
    (lapped,) = (directory for directory in DIRECTORIES if directory.name == "waveglow-lapped")
    assert json.loads((lapped / "config.json").read_text())["architecture"]["consistency_steps"] == 1
    assert load_model(lapped).model.config.corrections == 2
