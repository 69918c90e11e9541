"""Pairs of frames of two contracts: of the same audio, at the same times."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from recipes.adapters.examples import SILENT_FRAMES, Levels, frames_of
from training.corpora.manifest import Entry, Manifest
from training.data.augment import AugmentConfig
from vocoder.mel.config import preset
from vocoder.models.adapter import AdapterConfig

RATE = 22050


@pytest.fixture
def corpus(tmp_path: Path) -> Manifest:
    time = np.arange(RATE // 2) / RATE
    x = 0.2 * np.sin(2 * np.pi * (300 * time + 900 * time**2))
    soundfile.write(tmp_path / "a.flac", x, RATE, subtype="PCM_16")
    return Manifest(tmp_path, (Entry("a.flac", "c", "s", "train", 0.5, RATE, "CC0"),))


def pairs(corpus: Manifest, name: str, config: AdapterConfig, levels: Levels) -> tuple[torch.Tensor, torch.Tensor]:
    found = frames_of(corpus, corpus.entries, preset(name), config, AugmentConfig(), levels, 0)
    return found.windows, found.frames


@pytest.mark.parametrize("name", ["espnet", "vocos"])
def test_windows_and_frames_stand_at_the_same_times(corpus: Manifest, name: str) -> None:
    """Each band follows a glide: source and target must peak in bands of the same frequency."""
    source = preset(name)
    config = AdapterConfig(bands=source.n_mels, before=1, after=1)
    windows, frames = pairs(corpus, name, config, Levels((0.0, 0.0)))
    assert windows.shape == (len(frames), 3, source.n_mels)
    assert frames.shape[0] == 1 + RATE // 2 // 256 + SILENT_FRAMES + 1
    middle = slice(5, 35)
    torch.testing.assert_close(windows[middle][1:, 0], windows[middle][:-1, 1])
    place = windows[middle, 1].argmax(dim=1).double()
    target = frames[middle].argmax(dim=1).double()
    slope = np.polyfit(place, target, 1)
    assert np.abs(np.polyval(slope, place) - target.numpy()).max() < 1.6


def test_levels_are_what_was_asked_for(corpus: Manifest) -> None:
    config = AdapterConfig(before=0, after=0)
    _, plain = pairs(corpus, "espnet", config, Levels((0.0, 0.0)))
    _, loud = pairs(corpus, "espnet", config, Levels((6.0, 6.0)))
    _, peak = pairs(corpus, "espnet", config, Levels(peak=0.8))
    assert plain[-5:].max().item() == pytest.approx(np.log(1e-5))  # silence is among them
    heard = plain[:40] > -6
    assert (loud - plain)[:40][heard].mean().item() == pytest.approx(6.0 / 20.0 * np.log(10.0), abs=1e-2)
    assert (peak - plain)[:40][heard].mean().item() == pytest.approx(np.log(4.0), abs=2e-2)
