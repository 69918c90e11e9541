from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recipes.acoustic.items import parted, tokens_of_frames
from recipes.acoustic.model import AcousticConfig, AcousticModel
from recipes.acoustic.training import AcousticObjective
from vocoder.config import ConfigError
from vocoder.mel.config import preset

NVIDIA = preset("nvidia")
SMALL = {"n_mels": 5, "tokens": 9, "style": 4, "channels": 8, "hidden": 12, "kernel": 3, "encoder": 2, "decoder": 2}


@given(st.lists(st.integers(1, 30), min_size=1, max_size=40))
def test_a_frame_belongs_to_the_token_at_its_centre(durations):
    found = tokens_of_frames(np.array(durations), NVIDIA.frames(-(-sum(durations) * 2205 // 4)), NVIDIA)
    for frame, token in enumerate(found):
        second = Fraction(frame * 256, 22050)
        start, end = (Fraction(600 * sum(durations[: token + k]), 24000) for k in (0, 1))
        assert start <= second
        assert second < end or token == len(durations) - 1


def test_folds_are_held_out_in_turn(tmp_path):
    paths = [tmp_path / "ab"[number % 2] / f"{number}.flac" for number in range(5)]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert parted(tmp_path, 2, 0) == parted(tmp_path, 2, 1)[::-1] == (paths[1::2], paths[::2])
    with pytest.raises(ConfigError, match="folds must be at least 2"):
        parted(tmp_path, 2, 2)
    with pytest.raises(ConfigError, match="too few"):
        parted(tmp_path, 12, 5)


def small(prosody=False):
    torch.manual_seed(0)
    return AcousticModel(AcousticConfig(**SMALL, prosody=prosody)).eval()


def batch(tokens=6, frames=20, size=2):
    generator = torch.Generator().manual_seed(1)
    index = torch.arange(frames) * tokens // frames
    return {
        "tokens": torch.randint(0, 9, (size, tokens), generator=generator),
        "style": torch.randn(size, 4, generator=generator),
        "index": index.expand(size, -1),
        "places": torch.randn(size, 4, frames, generator=generator),
        "mask": torch.ones(size, frames),
        "prosody": torch.randn(size, 3, tokens, generator=generator).abs(),
        "mel": torch.randn(size, 5, frames, generator=generator),
    }


def predict(model, given, prosody=None):
    inputs = (given[name] for name in ("tokens", "style", "index", "places", "mask"))
    return model(*inputs, prosody)[0]


@pytest.mark.parametrize("prosody", [False, True])
def test_padding_does_not_change_the_mel(prosody):
    model, given = small(prosody), batch()
    padded = {
        **given,
        "tokens": torch.nn.functional.pad(given["tokens"], (0, 4), value=9),
        **{name: torch.nn.functional.pad(given[name], (0, 7)) for name in ("index", "places", "mask")},
    }
    torch.testing.assert_close(predict(model, padded)[:, :, :20], predict(model, given))


def test_the_loss_only_counts_real_frames_and_voiced_pitch():
    objective, given = AcousticObjective(small(prosody=True), preset("nvidia")), batch()
    loss, parts = objective.loss("model", given, 0)
    torch.testing.assert_close(loss, parts["mel"] + 0.3 * parts["prosody"])
    expected = (predict(objective.model, given, given["prosody"]) - given["mel"]).abs().mean()
    torch.testing.assert_close(parts["mel"], expected)
    unvoiced = given["prosody"].clone()
    unvoiced[:, 1] = 0
    other = unvoiced.clone()
    other[:, 0] += 5
    losses = [objective._errors({**given, "prosody": p}, given["prosody"])[1] for p in (unvoiced, other)]
    torch.testing.assert_close(losses[0], losses[1])
    half = {**given, "mask": given["mask"].clone()}
    half["mask"][:, 10:] = 0
    wild = {**half, "mel": given["mel"].clone()}
    wild["mel"][:, :, 10:] = 1e3
    torch.testing.assert_close(objective.validate(wild)["score"], objective.validate(half)["score"])
