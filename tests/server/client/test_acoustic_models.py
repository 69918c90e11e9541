"""The example programs: from an acoustic model's own code to audio, in this process and over HTTP."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile
import torch
from speaker import TIMEOUT

import vocoder
from vocoder.mel.config import PRESETS

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
PROGRAMS = ["fastspeech2_conformer", "speecht5"]


@pytest.fixture(scope="module", params=PROGRAMS)
def example(request):
    spec = importlib.util.spec_from_file_location(request.param, EXAMPLES / f"{request.param}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[request.param] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.filterwarnings("ignore::vocoder.synthesis.synthesizer.MelWarning")  # weights at random make no speech
def test_a_sentence_in_this_process_and_over_http(example, serve, wait_until, tmp_path, monkeypatch):
    monkeypatch.setattr(example, "TOKENS", 8)
    here, there = tmp_path / "here.wav", tmp_path / "there.wav"
    assert example.main(["--random", "-o", str(here)]) == 0
    with serve(vocoder.load("waveglow")) as url:
        wait_until(lambda: httpx.get(f"{url}/readyz", timeout=TIMEOUT, trust_env=False).status_code == 200)
        assert example.main(["--random", "-o", str(there), "--server", url]) == 0
    x, rate = soundfile.read(here)
    y, same = soundfile.read(there)
    assert rate == same == 22050
    contract = PRESETS[example.PRESET]
    model, tokens = example.at_random()
    assert example.at_random(len("Hello"))[1].shape == (1, 5)  # a text and --random go together
    speaker = [torch.zeros(1, 512)] if example.PRESET == "speecht5" else []
    mel = example.predict(model, tokens, *speaker)
    assert mel.shape[0] == 80
    assert len(x) == pytest.approx(mel.shape[1] * contract.hop_length / contract.sample_rate * rate, abs=256)
    assert np.abs(x).max() > 0.01
    np.testing.assert_allclose(x, y, atol=1e-3)


def test_a_program_wants_a_sentence_or_random_weights(example, tmp_path, capsys):
    with pytest.raises(SystemExit):
        example.main(["-o", str(tmp_path / "x.wav")])
    assert "give a sentence, or --random" in capsys.readouterr().err
