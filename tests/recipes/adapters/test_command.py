import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from evaluation_corpus import write_recordings

from recipes.__main__ import main
from recipes.adapters.command import SILENT_FRAMES, AdapterObjective, AdapterRun, Levels, closed_form, frames_of, usable
from training.corpora.given_mels import given_mel
from training.corpora.manifest import ManifestError, read_manifest
from training.data.augment import AugmentConfig
from training.loop.batches import FixedItems
from training.loop.trainer_config import TrainerConfig
from vocoder.adapt.adapter import adapter_between, load_adapter
from vocoder.adapt.path import MelPath
from vocoder.mel.config import preset
from vocoder.mel.sharpening import Sharpener
from vocoder.mel.spectrogram import MelSpectrogram
from vocoder.models.adapter import AdapterConfig, AdapterModel

RATE = 22050


@torch.no_grad()
def error_of(model, data):
    return float(AdapterObjective(model, preset("nvidia"), data, ridge=0.0).validate(data.tensors)["score"])


def known_map(count=2000, curved=False):
    windows = -4.0 + 2.0 * torch.randn(count, 2, 80, generator=torch.Generator().manual_seed(1))
    frames = 0.7 * windows[:, 0] + 0.3 * windows[:, 1] + torch.linspace(0, 1, 80)
    frames = (frames + 0.5 * windows[:, 0].sin() if curved else frames).clamp_min(-11.5)
    return FixedItems(windows=windows, frames=frames)


def model_of(*hidden):
    torch.manual_seed(2)
    return AdapterModel(AdapterConfig(before=1, after=0, hidden=hidden))


def test_training_starts_from_the_closed_form_and_improves_a_nonlinear_map():
    data = known_map(curved=True)
    linear, objective = model_of(), AdapterObjective(model_of(64), preset("nvidia"), data, ridge=1e-6)
    closed_form(linear, data, ridge=1e-6)
    with torch.no_grad():
        objective.initialise([])
    torch.testing.assert_close(objective.model(data.tensors["windows"][:9]), linear(data.tensors["windows"][:9]))
    optimiser = torch.optim.Adam(objective.model.parameters(), lr=2e-3)
    for step in range(200):
        optimiser.zero_grad()
        objective.loss("model", data.tensors, step)[0].backward()
        optimiser.step()
    assert error_of(objective.model, data) < 0.9 * error_of(linear, data)
    assert list(objective.phases()) == ["model"]
    assert AdapterObjective(linear, preset("nvidia"), data, ridge=1e-6).phases() == {}


@pytest.mark.parametrize("name", ["espnet", "vocos"])
def test_windows_and_frames_are_aligned_in_time(tmp_path, name):
    """In a glide, source and target must peak in bands of the same frequency."""
    source, time = preset(name), np.arange(RATE // 2) / RATE
    corpus = write_recordings(tmp_path, (0.2 * np.sin(2 * np.pi * (300 * time + 900 * time**2)), {}))
    config = AdapterConfig(bands=source.n_mels, before=1, after=1)
    run = AdapterRun("", TrainerConfig(1, 1), "", name, levels=Levels((0.0, 0.0)))
    runs = run, replace(run, sharpen=0.2)
    items, sharp = (frames_of(corpus, list(corpus.entries), config, each, AugmentConfig()).tensors for each in runs)
    windows, frames = items.values()
    made = Sharpener(config.target).added(frames.T[None].double(), 0.2)[0].T
    torch.testing.assert_close(sharp["frames"].double(), made, atol=1e-4, rtol=0)
    assert (made - frames).abs().max() > 0.1
    assert windows.shape == (len(frames), 3, source.n_mels)
    assert frames.shape[0] == 1 + RATE // 2 // 256 + SILENT_FRAMES + 1
    middle = slice(5, 35)
    torch.testing.assert_close(windows[middle][1:, 0], windows[middle][:-1, 1])
    source_band = windows[middle, 1].argmax(dim=1).double()
    target = frames[middle].argmax(dim=1).double()
    assert np.abs(np.polyval(np.polyfit(source_band, target, 1), source_band) - target.numpy()).max() < 1.6


@pytest.fixture
def manifest(tmp_path):
    rising = np.linspace(0.001, 0.1, n := RATE // 2)
    noises = [rising * np.random.default_rng(i).standard_normal(n) for i in range(4)]
    return write_recordings(tmp_path, *((x, {}) for x in noises)).root / "manifest.jsonl"


def test_a_run_creates_an_adapter(manifest, tmp_path, capsys):
    output = tmp_path / "run"
    (config := tmp_path / "config.yaml").write_text(
        f"{{manifest: {manifest}, output: {output}, mel: vocos, hidden: [8], held_out: 0.5, levels: {{top_db: 8}}, "
        "trainer: {steps: 2, batch_size: 32, device: cpu}}"
    )
    assert main(["adapter", "--config", str(config)]) == 0
    assert "validation after step 2: score" in capsys.readouterr().out
    adapters = tmp_path / "adapters"
    shutil.copytree(output / "last" / "model", adapters / "vocos")
    adapter = adapter_between(preset("vocos"), preset("nvidia"), adapters)
    assert adapter.name == "vocos"
    assert "It cannot synthesize" in (adapters / "vocos" / "README.md").read_text()
    path = MelPath(preset("vocos"), preset("nvidia"), 0, adapter)
    assert path.convert(torch.full((100, 20), -3.0)).shape == (80, path.frames(20))
    assert main(["adapter", "--config", str(config)]) == 2


def test_only_full_recordings_teach_what_the_source_does_not_show(tmp_path):
    corpus = write_recordings(tmp_path, *((np.zeros(RATE), {"bandwidth": edge}) for edge in (7600.0, 8000.0, None)))
    assert [len(usable(corpus, preset(name), preset("nvidia"))) for name in ("espnet", "vocos")] == [2, 3]
    with pytest.raises(ManifestError, match="that reach 12000 Hz"):
        usable(corpus, preset("espnet"), preset("vocos"))


def test_an_adapter_can_be_trained_for_any_mel_config(manifest, tmp_path, monkeypatch):
    """Scaled mels are fitted without their scale."""
    monkeypatch.chdir(tmp_path)
    wide = "{sample_rate: 22050, n_fft: 2048, win_length: 2048, hop_length: 512, n_mels: 64, f_min: 0, f_max: 8000}"
    (tmp_path / "wide.yaml").write_text(wide)
    common = ("hidden=[]", "held_out=0.5", f"manifest={manifest}", "trainer.batch_size=32", "trainer.device=cpu")
    for mel, name in (("wide.yaml", "wide"), ("zipvoice", "zipvoice")):
        assert main(["adapter", f"mel={mel}", *common]) == 0
        source = load_adapter(Path("runs/adapters", name, "last", "model")).source
        assert (source.name, source.mean) == (name, None)


def test_recordings_are_listed_again_with_aligned_adapted_mels(manifest):
    output = manifest.parent / "adapted.jsonl"
    options = f"--presets cosyvoice2 fireredtts -o {output} --every 2 --min-seconds 0.2".split()
    assert main(["adapted-mels", str(manifest), *options]) == 0
    found, own = read_manifest(output), read_manifest(manifest).entries
    assert (found.entries[: len(own)], len(found.entries)) == (own, len(own) + 2)
    for entry, source in zip(found.entries[len(own) :], ("cosyvoice2", "fireredtts"), strict=True):
        assert entry.mel_preset == source
        x = soundfile.read(found.root / entry.path, dtype="float32")[0]
        mel, delay = given_mel(found, entry, preset("nvidia"), len(x))
        true = MelSpectrogram(preset("nvidia"))(torch.from_numpy(x[delay:])[None])[0].numpy()
        frames = (len(x) - delay) // 256
        # The noise grows, so misplaced frames would differ.
        assert np.abs(true[:, :frames] - mel[:, :frames]).mean() < 0.5
