"""The README's Python runs as it is written."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from vocoder.mel.config import preset

README = Path(__file__).resolve().parent.parent / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
FRAMES = 20


@pytest.mark.filterwarnings("ignore::vocoder.MelWarning")  # the mel is made up
@pytest.mark.parametrize("block", BLOCKS, ids=[f"block{index}" for index in range(len(BLOCKS))])
def test_python_blocks_run(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = preset("nvidia")
    np.save("mel.npy", np.full((config.n_mels, FRAMES), -6.0, dtype=np.float32))
    exec(compile(block, "<python block of README.md>", "exec"), {})
    x, sample_rate = soundfile.read("speech.wav")
    assert sample_rate == config.sample_rate
    assert x.shape == (FRAMES * config.hop_length,)
    assert 0.0 < np.abs(x).max() <= 1.0


def test_there_is_a_block() -> None:
    assert len(BLOCKS) >= 1
