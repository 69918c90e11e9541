from __future__ import annotations

import pytest
import torch
from torch import Tensor

from recipes.recogniser.objective import RecogniserObjective
from training.losses.recogniser import FrameRecogniser, FrameRecogniserConfig, load_recogniser
from vocoder.config import ConfigError
from vocoder.layers.source.pitch import PitchConfig
from vocoder.mel.config import MelConfig

RATE, LENGTH, MARGIN = 8000, 2048, 64
MEL = MelConfig("tiny", RATE, n_fft=128, win_length=128, hop_length=16, n_mels=8, f_min=0.0, f_max=4000.0)
PITCH = PitchConfig(f0_min=200.0, f0_max=550.0, bins=6)
CONFIG = FrameRecogniserConfig(
    n_mels=8, hop_length=16, sample_rate=RATE, n_fft=64, channels=12, layers=1, classes=4, pitch=PITCH
)


def batch(items: int = 6) -> dict[str, Tensor]:
    """Tones of different pitch and loudness, and noise."""
    generator = torch.Generator().manual_seed(0)
    t = torch.arange(LENGTH + 2 * MARGIN) / RATE
    number = torch.arange(items)[:, None]
    tones = torch.cos(2 * torch.pi * (250 + 60 * number) * t) * number / 10
    f0 = torch.where(number > 0, 250.0 + 60 * number, 0.0).expand(-1, LENGTH // MEL.hop_length)
    return {"x": tones + 0.01 * torch.randn(items, len(t), generator=generator), "f0": f0}


def objective() -> RecogniserObjective:
    torch.manual_seed(0)
    made = RecogniserObjective(FrameRecogniser(CONFIG), MEL)
    with torch.no_grad():
        made.initialise([batch()])
    return made


def test_clusters_are_where_the_frames_are():
    torch.manual_seed(0)
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    frames = (centres[:, None] + 0.1 * torch.randn(3, 50, 2)).flatten(0, 1)
    model = FrameRecogniser(FrameRecogniserConfig(n_mels=2, hop_length=16, n_fft=64, channels=2, layers=1, classes=3))
    with pytest.raises(ValueError, match="too few"):
        model.fit_classes(frames[:2])
    torch.manual_seed(3)
    model.fit_classes(frames)
    found = model.classes_of(frames.reshape(3, 50, 2).transpose(1, 2))
    nearest = torch.cdist(frames, model.centroids).min(dim=1).values
    assert found.shape == (3, 50)
    assert float(nearest.mean()) <= float(torch.cdist(frames, frames[:3]).min(dim=1).values.mean())


def test_training_teaches_it_to_tell_classes_and_pitch():
    made, data = objective(), batch()
    optimiser = torch.optim.Adam(made.model.parameters(), lr=1e-2)
    with torch.no_grad():
        before = made.validate(data)
    for step in range(60):
        outcome = made.loss("model", data, step)
        assert outcome is not None
        optimiser.zero_grad()
        outcome[0].backward()
        optimiser.step()
    with torch.no_grad():
        after = made.validate(data)
    assert float(after["accuracy"]) > 0.8
    assert float(after["score"]) < 0.5 * float(before["score"])
    assert float(after["pitch"]) < 0.5 * float(before["pitch"])


def test_features_are_differentiable_frames_of_every_layer():
    made = objective().model
    x = (0.1 * torch.randn(2, LENGTH)).requires_grad_()
    features = made.features(x)
    assert [value.shape[1:] for value in features] == [(12, 512), (12, 256), (12, 128), (12, 128)]
    (gradient,) = torch.autograd.grad(features[-1].sum(), x)
    assert float(gradient.abs().min()) >= 0
    assert float(gradient.abs().max()) > 0
    assert [value.shape for value in made(x)] == [(2, 4, 128), (2, 6, 128), (2, 128)]


def test_directory_keeps_it_and_others_are_refused(tmp_path):
    made = objective()
    made.export(tmp_path / "model", {})
    loaded, x = load_recogniser(tmp_path / "model"), batch()["x"]
    assert not loaded.training
    torch.testing.assert_close(loaded(x)[0], made.model(x)[0])
    torch.testing.assert_close(loaded.centroids, made.model.centroids)
    with pytest.raises(ConfigError, match="holds no recogniser"):
        load_recogniser(tmp_path)
