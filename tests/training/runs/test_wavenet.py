from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tiny_objectives import MEL, predicting_wavenet, wavenet

from training.loop.trainer_config import TrainerConfig
from training.run_config import load_config
from training.runs.wavenet import WaveNetRun
from vocoder.config import ConfigError
from vocoder.flows.linear_prediction import LinearPredictionConfig
from vocoder.models.wavenet import WaveNetModelConfig

CONFIGS = Path(__file__).parents[3] / "configs"


def test_missing_bands_are_filled_with_the_models_audio():
    ours, data = predicting_wavenet(), {"x": 0.05 * torch.randn(2, 1024 + 256 * 16)}
    ours.filler = SimpleNamespace(synthesize=lambda mel: 0.1 * torch.randn(len(mel), 256 * mel.shape[2]))
    x, mel = ours.segments(data)
    full = ours._filled(x, mel, data | {"band": torch.tensor([4000.0, 11025.0])})
    torch.testing.assert_close(full[1], x[1])
    edge = int(4000 / 22050 * x.shape[1]) + 1
    above = torch.fft.rfft(full[0])[edge:].abs().mean() / torch.fft.rfft(x[0])[edge:].abs().mean()
    assert float(above) == pytest.approx(0.1 / 0.05, rel=0.1)
    assert ours._filled(x, mel, data) is x


@torch.no_grad()
def test_the_first_samples_after_a_cut_are_not_scored():
    ours, x = wavenet(), 0.05 * torch.randn(1, 2048)
    mel = -6 * torch.ones(1, MEL.n_mels, 2048 // MEL.hop_length)
    struck = x.clone()
    struck[:, 0] = 10.0
    quiet = ours._score(x, mel)
    torch.testing.assert_close(ours._score(struck, mel), quiet)  # two layers see four past samples
    assert float(-ours.model.log_prob(struck, mel) / 2048) > float(quiet) + 1


def test_the_shipped_configuration_is_valid_and_contradictions_are_rejected():
    config = load_config(WaveNetRun, CONFIGS / "wavenet.yaml")
    assert config.model.stack.context == (2046, 0)
    assert config.model.lpc is not None
    assert config.model == WaveNetModelConfig(corrections=12)
    for override in (["model.lpc=null"], ["model.distribution=logistic"]):
        load_config(WaveNetRun, CONFIGS / "wavenet.yaml", override)
    with pytest.raises(ConfigError, match=r"lpc needs mels of a preset, not 'own': set model\.lpc=null"):
        WaveNetModelConfig(lpc=LinearPredictionConfig(mel="own"))
    trainer = TrainerConfig(steps=1, batch_size=1)
    lpc = LinearPredictionConfig(mel="hifigan")
    with pytest.raises(ConfigError, match=r"model.lpc.mel is 'hifigan', but mel is 'nvidia'"):
        WaveNetRun("o", trainer, "m", model=WaveNetModelConfig(lpc=lpc))
