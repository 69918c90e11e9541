import pytest
import torch

from training.critics.adversary import CRITICS_FILE, Adversary
from training.critics.spectrogram import CriticConfig
from vocoder.config import ConfigError

CONFIG = CriticConfig(sizes=(128,), channels=2, length=512, f_max=3000.0)


def adversary(config=CONFIG, seed=0):
    torch.manual_seed(seed)
    return Adversary(config, 8000, torch.float32)


def test_critics_come_back_as_they_were(tmp_path):
    saved, other = adversary(seed=0), adversary(seed=1)
    x, x_hat = 0.1 * torch.randn(2, 512), 0.1 * torch.randn(2, 512)
    assert not torch.allclose(saved.judge(x_hat, x)[0], other.judge(x_hat, x)[0])
    saved.save(tmp_path)
    assert other.load(tmp_path)
    torch.testing.assert_close(saved.judge(x_hat, x), other.judge(x_hat, x))


def test_critics_of_another_shape_or_none_are_left_alone(tmp_path):
    made = adversary()
    before = {name: value.clone() for name, value in made.state_dict().items()}
    assert not made.load(tmp_path)
    adversary(CriticConfig(sizes=(256,), channels=2, length=512, f_max=3000.0)).save(tmp_path)
    assert not made.load(tmp_path)
    for name, value in made.state_dict().items():
        torch.testing.assert_close(value, before[name])
    adversary(CriticConfig(sizes=(128,), channels=2, length=256, f_max=3000.0)).save(tmp_path)
    assert made.load(tmp_path)  # how much they see at once is no shape
    (tmp_path / CRITICS_FILE).write_bytes(b"no critics")
    with pytest.raises(ConfigError, match="holds no critics"):
        made.load(tmp_path)


def test_critics_learn_from_everything_that_they_judged_once():
    critics = adversary(CriticConfig(sizes=(128,), channels=2, length=0, f_max=3000.0))
    audio = 0.1 * torch.randn(4, 1, 512)
    alone = []
    for fake, real in ((audio[0], audio[1]), (audio[2], audio[3])):
        critics.judge(fake, real)
        alone.append(critics.loss().item())
    critics.judge(audio[0], audio[1])
    critics.judge(audio[2], audio[3])
    assert [critics.loss().item(), critics.loss().item()] == alone
    with pytest.raises(RuntimeError, match="what they have just judged"):
        critics.loss()
