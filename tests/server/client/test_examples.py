"""The example programs: an acoustic model with the vocoder in process and over HTTP, and in pipecat."""

import functools
import importlib
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_models import random_synthesizer

from vocoder.audio.writing import write_audio
from vocoder.client import Client
from vocoder.mel.config import PRESETS

ROOT = Path(__file__).resolve().parents[3]
PYTHON = os.environ.get("PIPECAT_PYTHON")
pytestmark = pytest.mark.filterwarnings("ignore::vocoder.MelWarning")  # the mels are artificial


@pytest.fixture(scope="module")
def example():
    return importlib.import_module("acoustic_model")


@pytest.mark.parametrize("name", ["fastspeech2", "speecht5"])
def test_the_acoustic_model_example_runs_locally_and_over_http(example, name, ready, tmp_path, monkeypatch):
    vocoder = random_synthesizer()
    monkeypatch.setattr(example, "mel_of", functools.cache(example.mel_of))
    monkeypatch.setattr(example.vocoder, "load", lambda: vocoder)
    small = functools.partial(example.transformers.SpeechT5Config, encoder_layers=1, decoder_layers=1)
    monkeypatch.setattr(example.transformers, "SpeechT5Config", small)
    local, remote, statistics = (tmp_path / name for name in ("local.wav", "remote.wav", "feats_stats.npz"))
    np.savez(statistics, count=2, sum=np.full(80, 0.5, np.float32), sum_square=np.full(80, 2.0, np.float32))
    words = [name, "A letter", "--random", "--statistics", str(statistics)]
    assert example.main([*words, "-o", str(local)]) == 0
    with ready(vocoder) as url:
        assert example.main([*words, "-o", str(remote), "--server", url]) == 0
    x, rate = soundfile.read(local)
    y, remote_rate = soundfile.read(remote)
    assert rate == remote_rate == 22050
    config, mel = PRESETS[example.MODELS[name][1]], example.mel_of(name, None, 8, None)
    assert mel.shape[0] == config.n_mels
    assert len(x) == pytest.approx(mel.shape[1] * config.hop_length / config.sample_rate * rate, abs=256)
    assert np.abs(x).max() > 0.01
    np.testing.assert_allclose(x, y, atol=1e-3)


def test_the_example_requires_a_sentence_or_random_weights_and_statistics(example, tmp_path, capsys):
    for given, fault in ((["speecht5"], "give a sentence, or --random"), (["fastspeech2", "A."], "needs --statistics")):
        with pytest.raises(SystemExit):
            example.main([*given, "-o", str(tmp_path / "x.wav")])
        assert fault in capsys.readouterr().err


@pytest.mark.skipif(PYTHON is None, reason="make pipecat-test installs pipecat")
def test_a_pipecat_pipeline_outputs_what_the_server_synthesizes(ready, streamer, tmp_path):
    """Run in the separate environment of `make pipecat-test`, which has no torch."""
    recording, speech = tmp_path / "recording.wav", tmp_path / "speech.wav"
    x, rate = soundfile.read(ROOT / "examples" / "heldout.flac", dtype="float32")
    write_audio(recording, x[: 2 * rate], rate)
    with ready(streamer) as url, Client(url, trust_env=False) as client:
        expected = client.synthesize(client.mel(recording), seed=1, sample_rate=24000)
        program = [Path(str(PYTHON)).absolute(), ROOT / "examples" / "pipecat_tts.py", recording, "-o", speech]
        command = [*map(str, program), "--server", url]
        subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, timeout=300)
    x, rate = soundfile.read(speech)
    assert rate == expected.sample_rate
    np.testing.assert_allclose(x, expected.x, atol=1e-4)
