import math

import pytest
import torch

from training import critics as module
from training.critics import Adversary, CriticConfig, SpectrogramCritics
from vocoder.config import ConfigError

CONFIG = CriticConfig(sizes=(128, 256), channels=4, f_max=2000.0)


def critics(dtype=torch.float32):
    torch.manual_seed(0)
    return SpectrogramCritics(CONFIG, 8000, dtype)


def judgements(*values):
    return [[torch.zeros(1), torch.tensor([value])] for value in values]


def test_critic_generator_and_feature_losses_match_their_formulas():
    assert float(module.critic_loss(judgements(1.0, 3.0), judgements(-1.0, -2.0))) == 0.0
    assert float(module.critic_loss(judgements(0.5, 1.0), judgements(-1.0, 0.25))) == pytest.approx((0.5 + 1.25) / 2)
    assert float(module.generator_loss(judgements(2.0, -1.0))) == pytest.approx(-0.5)
    real = [[torch.full((2, 3), 4.0), torch.ones(1)]]
    assert float(module.feature_loss(real, [[torch.full((2, 3), 5.0), torch.zeros(1)]])) == pytest.approx(0.25)


def test_critics_ignore_frequencies_above_their_limit():
    x = 0.1 * torch.randn(1, 2048)
    t = torch.arange(2048)
    audible, ignored = (0.1 * torch.cos(2 * math.pi * f / 8000 * t) for f in (1000.0, 3500.0))
    with torch.no_grad():
        judged, with_audible, with_ignored = (critics()(audio) for audio in (x, x + audible, x + ignored))
    for before, after, same in zip(judged, with_audible, with_ignored, strict=True):
        assert (after[-1] - before[-1]).abs().max() > 1e-3
        assert (same[-1] - before[-1]).abs().max() < 2e-4


@pytest.mark.parametrize("level", [1.0, 0.0])
def test_gradients_reach_audio_and_parameters_and_are_finite_in_silence(level):
    model, x = critics(), (level * torch.randn(1, 1024)).requires_grad_()
    module.generator_loss(model(x)).backward()
    assert torch.isfinite(x.grad).all()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


SMALL = CriticConfig(sizes=(128,), channels=2, length=512, f_max=3000.0)


def adversary(config=SMALL, seed=0):
    torch.manual_seed(seed)
    return Adversary(config, 8000, torch.float32)


def test_critics_are_loaded_if_they_fit(tmp_path):
    made = adversary()
    before = {name: value.clone() for name, value in made.state_dict().items()}
    assert not made.load(tmp_path)
    adversary(CriticConfig(sizes=(256,), channels=2, length=512, f_max=3000.0)).save(tmp_path)
    assert not made.load(tmp_path)
    for name, value in made.state_dict().items():
        torch.testing.assert_close(value, before[name])
    adversary(CriticConfig(sizes=(128,), channels=2, length=256, f_max=3000.0)).save(tmp_path)
    assert made.load(tmp_path)  # the length of their input does not change their shape
    (tmp_path / module.CRITICS_FILE).write_bytes(b"no critics")
    with pytest.raises(ConfigError, match="holds no critics"):
        made.load(tmp_path)
    saved, other = adversary(seed=0), adversary(seed=1)
    x, x_hat = 0.1 * torch.randn(2, 512), 0.1 * torch.randn(2, 512)
    assert not torch.allclose(saved.judge(x_hat, x)[0], other.judge(x_hat, x)[0])
    saved.save(tmp_path)
    assert other.load(tmp_path)
    torch.testing.assert_close(saved.judge(x_hat, x), other.judge(x_hat, x))


def test_critics_learn_once_from_everything_they_judged():
    critics = adversary(CriticConfig(sizes=(128,), channels=2, length=0, f_max=3000.0))
    audio = 0.1 * torch.randn(4, 1, 512)
    alone = []
    for fake, real in ((audio[0], audio[1]), (audio[2], audio[3])):
        critics.judge(fake, real)
        alone.append(critics.loss().item())
    critics.judge(audio[0], audio[1])
    critics.judge(audio[2], audio[3])
    assert [critics.loss().item(), critics.loss().item()] == alone
