"""The README is short, its sounds are small, and its Python runs as it is written, as does that of the documents."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from vocoder.audio.file import audio_info
from vocoder.mel.config import preset

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
DOCUMENTS = [README, ROOT / "docs" / "python.md"]
BLOCKS = [
    pytest.param(block, id=f"{path.name}-{index}")
    for path in DOCUMENTS
    for index, block in enumerate(re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.DOTALL))
]
FRAMES = 20
MAX_WORDS = 1200
MAX_CLIP_BYTES = 60_000


@pytest.mark.filterwarnings("ignore::vocoder.MelWarning")  # the mel is made up
@pytest.mark.parametrize("block", BLOCKS)
def test_python_blocks_run(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = preset("nvidia")
    np.save("mel.npy", np.full((config.n_mels, FRAMES), -6.0, dtype=np.float32))
    exec(compile(block, "<python block of a document>", "exec"), {})
    x, sample_rate = soundfile.read("speech.wav")
    assert sample_rate == config.sample_rate
    assert x.shape == (FRAMES * config.hop_length,)
    assert 0.0 < np.abs(x).max() <= 1.0
    origin = audio_info("speech.wav").origin
    assert (origin.model, origin.seed, origin.synthetic) == ("reverse", 1, True)


def test_each_of_them_has_a_block():
    assert {str(block.id).rpartition("-")[0] for block in BLOCKS} == {path.name for path in DOCUMENTS}


def test_the_readme_is_short():
    assert len(README.read_text(encoding="utf-8").split()) <= MAX_WORDS


def test_its_sounds_are_small_and_of_one_length():
    names = re.findall(r"\]\((docs/sounds/[\w-]+\.opus)\)", README.read_text(encoding="utf-8"))
    assert len(names) >= 6
    assert [name for name in names if (ROOT / name).stat().st_size > MAX_CLIP_BYTES] == []
    seconds = {}
    for name in names:
        with soundfile.SoundFile(ROOT / name) as file:
            seconds.setdefault(Path(name).name.split("-")[0], set()).add(round(file.frames / file.samplerate, 2))
    assert {len(of_one) for of_one in seconds.values()} == {1}
    assert all(0.0 < value < 10.0 for of_one in seconds.values() for value in of_one)
