"""`vocoder-serve` as a program, with a real if tiny model."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import vocoder
from server.cli import main
from vocoder.checkpoint import save_model
from vocoder.layers.wavenet import WaveNetConfig
from vocoder.mel_config import preset

PROGRAM = [sys.executable, "-c", "import sys; from server.cli import main; sys.exit(main())"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    stack = WaveNetConfig(channels=8, dilations=(1,))
    config = vocoder.WaveGlowConfig(flows=1, cond_channels=8, stack=stack)
    return save_model(tmp_path / "tiny", vocoder.WaveGlow(config), preset("nvidia"))


def test_serving_a_model_until_it_is_told_to_stop(model: Path, new_mel: Any) -> None:
    environment = {**os.environ, "VOCODER_HOST": "127.0.0.1", "VOCODER_LOG_LEVEL": "warning", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [*PROGRAM, "--port", "0", "--model", str(model)], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        ready = re.fullmatch(r"vocoder-serve: ready on (http://127\.0\.0\.1:\d+) \(tiny\)\n", line)
        assert ready is not None, line
        url = ready.group(1)
        assert httpx.get(f"{url}/readyz").status_code == 200
        described = httpx.get(f"{url}/models/tiny").json()
        assert (described["family"], described["mel"]["name"]) == ("waveglow", "nvidia")
        stream = io.BytesIO()
        np.save(stream, new_mel())
        response = httpx.post(f"{url}/synthesize?seed=5&sigma=0.6&denoise=0.2&format=npy", content=stream.getvalue())
        expected = vocoder.load(model).synthesize(new_mel(), sigma=0.6, seed=5, denoise=0.2)
        np.testing.assert_allclose(np.load(io.BytesIO(response.content)), expected, atol=1e-3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20.0) == 0
        assert process.stdout.read() == ""


def test_a_model_that_is_not_there(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert main(["--port", "0", "--model", str(tmp_path), "--log-level", "warning"]) == 1
    assert re.search(r"^vocoder-serve: cannot load model .*config\.json", capfd.readouterr().err, re.MULTILINE)
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(
    ("arguments", "words"), [(["--port", "70000"], "port: Input should be less than or equal to 65535")]
)
def test_settings_that_are_not_valid(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert words in capsys.readouterr().err


def test_an_environment_that_is_not_valid(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("VOCODER_QUEUE_SIZE", "many")
    assert main([]) == 2
    assert "queue_size" in capsys.readouterr().err
