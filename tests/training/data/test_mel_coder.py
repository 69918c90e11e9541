import math

import pytest
import torch

from training.data.mel_coder import MelCoder, MelCoderConfig, redrawn
from vocoder.config import ConfigError

CONFIG = MelCoderConfig(n_mels=8, channels=6, hidden=12, codes=5, fewest=2, step=3)


@pytest.fixture
def coder():
    torch.manual_seed(0)
    made = MelCoder(CONFIG).double().eval()
    made.centre.fill_(-5.0)
    made.spread.fill_(2.0)
    return made


@pytest.fixture
def mel():
    return torch.randn(4, 8, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_codes_beyond_those_kept_tell_nothing(coder, mel):
    last = coder.codes[2]
    none, kept = torch.zeros(4).double(), torch.full((4,), 3.0)
    before, whole = coder(mel, kept, none), coder(mel, kept + 2, none)
    with torch.no_grad():
        last.bias[3:] += 1.0
    assert torch.equal(coder(mel, kept, none), before)
    assert not torch.allclose(coder(mel, kept + 2, none), whole)
    assert before.shape == mel.shape


def test_an_item_is_drawn_alone_as_beside_others_and_frames_after_the_end_repeat_it(coder, mel):
    kept, none = torch.tensor([2.0, 3.0, 4.0, 5.0]), torch.zeros(4).double()
    together = coder(mel, kept, none)
    torch.testing.assert_close(coder(mel[2:3], kept[2:3], none[:1]), together[2:3])
    longer = torch.cat([mel, mel[:, :, -1:]], dim=2)
    torch.testing.assert_close(coder(longer, kept, none)[:, :, :32], together)


def test_noise_and_the_number_of_codes_are_drawn_for_each_item(coder, mel, monkeypatch):
    seen = {}

    def forward(mel, kept, noise):
        seen["kept"], seen["noise"] = kept, noise
        return mel

    monkeypatch.setattr(coder, "forward", forward)
    coder.drawn(mel.repeat(1000, 1, 1))
    shares = torch.bincount(seen["kept"].long()) / 4000
    expected = torch.tensor([0, 0, *(math.log((i + 1) / i) / math.log(6 / 2) for i in range(2, 6))])
    torch.testing.assert_close(shares, expected, atol=0.03, rtol=0)
    assert 0 <= float(seen["noise"].min()) < 0.01
    assert 0.09 < float(seen["noise"].max()) <= CONFIG.noise


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_a_share_of_the_mels_is_drawn_and_the_rest_stays(coder, mel, share):
    torch.manual_seed(2)
    many = mel.repeat(100, 1, 1)
    changed = (redrawn(many, coder, share) != many).flatten(1)
    assert torch.equal(changed.any(dim=1), changed.all(dim=1))
    assert abs(float(changed.any(dim=1).double().mean()) - share) < 0.1


def test_bad_shapes_are_refused():
    with pytest.raises(ConfigError, match="kernel must be odd and fewest at most codes, not 4 and 6 of 64"):
        MelCoderConfig(kernel=4)
    with pytest.raises(ConfigError, match="not 5 and 70 of 64"):
        MelCoderConfig(fewest=70)
