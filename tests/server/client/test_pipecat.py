"""The example for pipecat, in an environment of its own that `make pipecat-test` makes: it has no torch."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from vocoder.audio.file import write_audio
from vocoder.client import Client

ROOT = Path(__file__).resolve().parents[3]
PYTHON = os.environ.get("PIPECAT_PYTHON")


@pytest.mark.skipif(PYTHON is None, reason="make pipecat-test installs pipecat")
def test_a_pipeline_says_what_the_server_synthesizes(ready, streamer, tmp_path):
    recording, spoken = tmp_path / "recording.wav", tmp_path / "spoken.wav"
    x, rate = soundfile.read(ROOT / "examples" / "heldout.flac", dtype="float32")
    write_audio(recording, x[: 2 * rate], rate)
    with ready(streamer) as url, Client(url, trust_env=False) as client:
        expected = client.synthesize(client.mel(recording), seed=1, sample_rate=24000)
        program = [Path(str(PYTHON)).absolute(), ROOT / "examples" / "pipecat_tts.py", recording, "-o", spoken]
        command = [*map(str, program), "--server", url]
        subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, timeout=300)
    x, rate = soundfile.read(spoken)
    assert rate == expected.sample_rate
    np.testing.assert_allclose(x, expected.x, atol=1e-4)
