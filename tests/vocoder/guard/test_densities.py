import math

import pytest
import torch

from vocoder.guard.judges import LOST, Densities, window_starts, windows_at
from vocoder.models.guard import GuardConfig, GuardModel

CONFIG = GuardConfig(("nvidia", "nvidia:time", "nvidia:shuffled"), n_mels=8, offsets=(0, 2), windows=5)
FLOOR = math.log(1e-5)


@pytest.fixture
def model():
    torch.manual_seed(3)
    model = GuardModel(CONFIG)
    for density in model.densities:
        for parameter in density.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return model.requires_grad_(False)


@pytest.fixture
def mel():
    return -8.0 + 3.0 * torch.rand(8, 30, generator=torch.Generator().manual_seed(4))


def test_windows_are_spread_over_what_is_heard(mel):
    mel[:, 10:] = FLOOR
    starts = window_starts(mel, CONFIG, FLOOR)
    assert starts.tolist() == [0, 2, 4, 6, 9]
    windows = windows_at(mel, starts, CONFIG)
    assert windows.shape == (5, 16)
    torch.testing.assert_close(windows[1], torch.cat([mel[:, 2], mel[:, 4]]))
    assert len(window_starts(mel[:, :2], CONFIG, FLOOR)) == 0
    assert len(window_starts(torch.full((8, 9), FLOOR), CONFIG, FLOOR)) == 0


def test_densities_are_normal_distributions(model, mel):
    windows = windows_at(mel, window_starts(mel, CONFIG, FLOOR), CONFIG)
    for score, density in zip(Densities(model).score(mel), model.densities, strict=True):
        inverse = torch.linalg.inv(density.matrix())
        normal = torch.distributions.MultivariateNormal(density.t[:, 0], inverse @ inverse.T)
        torch.testing.assert_close(score, normal.log_prob(windows).mean() / 16, atol=1e-3, rtol=0.0)


def test_values_below_the_floor_cost(model, mel):
    scorer = Densities(model)
    deep = mel.clone()
    deep[:4] = FLOOR - 2.0
    lost, kept = (scorer.score(m) for m in (deep, deep.clamp_min(FLOOR)))
    torch.testing.assert_close(lost, kept - 0.5 * LOST, atol=1e-4, rtol=0.0)
