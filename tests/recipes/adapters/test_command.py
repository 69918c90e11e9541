"""`python -m recipes adapter`, from a corpus to an adapter that speaks."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from recipes.__main__ import main
from recipes.adapters.command import bands_below
from training.corpora.manifest import Entry, read_manifest, write_manifest
from vocoder.adapt.adapter import adapter_between, load_adapter
from vocoder.adapt.path import MelPath
from vocoder.mel.config import preset
from vocoder.mel.spectrogram import MelSpectrogram

RATE = 22050


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    entries = []
    for i in range(4):
        rng = np.random.default_rng(i)
        x = 0.1 * rng.standard_normal(RATE // 2) * np.linspace(0.01, 1, RATE // 2)
        soundfile.write(tmp_path / f"{i}.flac", x, RATE, subtype="PCM_16")
        entries.append(Entry(f"{i}.flac", "c", "s", "train", 0.5, RATE, "CC0"))
    write_manifest(tmp_path / "manifest.jsonl", entries)
    return tmp_path / "manifest.jsonl"


def test_a_run_makes_an_adapter(manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "run"
    config = tmp_path / "config.yaml"
    config.write_text(
        f"{{manifest: {manifest}, output: {output}, mel: vocos, hidden: [8], held_out: 0.5, "
        "trainer: {steps: 2, batch_size: 32, device: cpu}}"
    )
    assert main(["adapter", "--config", str(config)]) == 0
    assert "validation after step 2: score" in capsys.readouterr().out
    adapters = tmp_path / "adapters"
    shutil.copytree(output / "last" / "model", adapters / "vocos")
    adapter = adapter_between(preset("vocos"), preset("nvidia"), adapters)
    assert adapter is not None
    assert adapter.name == "vocos"
    assert "It cannot speak" in (adapters / "vocos" / "README.md").read_text()
    path = MelPath(preset("vocos"), preset("nvidia"), 0, adapter)
    assert path.convert(torch.full((100, 20), -3.0)).shape == (80, path.frames(20))
    assert main(["adapter", "--config", str(config)]) == 2


def test_one_command_needs_only_the_mels(manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any config file will do; scaled mels are fitted without their scale."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wide.yaml").write_text(
        "{sample_rate: 22050, n_fft: 2048, win_length: 2048, hop_length: 512, n_mels: 64, f_min: 0, f_max: 8000}"
    )
    common = ("hidden=[]", "held_out=0.5", f"manifest={manifest}", "trainer.batch_size=32", "trainer.device=cpu")
    for mel, name in (("wide.yaml", "wide"), ("zipvoice", "zipvoice")):
        assert main(["adapter", f"mel={mel}", *common]) == 0
        source = load_adapter(Path("runs/adapters", name, "last", "model")).source
        assert (source.name, source.mean) == (name, None)


def test_bands_above_those_of_the_target_are_not_looked_at() -> None:
    assert bands_below(preset("espnet"), 8000.0) == 80
    assert bands_below(preset("r9y9"), 8000.0) == 80
    for name in ("vocos", "nemo"):
        config = preset(name)
        seen = bands_below(config, 8000.0)
        assert config.n_mels * 0.75 < seen < config.n_mels


def test_recordings_are_listed_once_more_with_adapted_mels_frame_for_frame(manifest: Path) -> None:
    output = manifest.parent / "adapted.jsonl"
    given = ["adapted-mels", str(manifest), "--presets", "cosyvoice2", "fireredtts", "-o", str(output)]
    assert main([*given, "--every", "2", "--min-seconds", "0.2"]) == 0
    found, own = read_manifest(output), read_manifest(manifest).entries
    assert found.entries[: len(own)] == own
    assert len(found.entries) == len(own) + 2
    for entry, source in zip(found.entries[len(own) :], ("cosyvoice2", "fireredtts"), strict=True):
        assert entry.mel is not None
        assert source in entry.mel
        x = soundfile.read(found.audio_path(entry), dtype="float32")[0]
        mel = np.load(found.root / entry.mel)
        true = MelSpectrogram(preset("nvidia"))(torch.from_numpy(x)[None])[0].numpy()[:, : len(x) // 256]
        assert mel.shape == true.shape
        assert np.abs(true - mel).mean() < 0.5  # frames stand where they were: of noise that grows
