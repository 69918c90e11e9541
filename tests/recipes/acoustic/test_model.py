from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toy_speech import write_speech

from recipes.acoustic.items import SpeechItems, example_of, parted, places, token_prosody, tokens_of_frames
from recipes.acoustic.model import AcousticConfig, AcousticModel
from recipes.acoustic.training import AcousticObjective
from vocoder.config import ConfigError
from vocoder.mel.config import preset

NVIDIA = preset("nvidia")
SMALL = {"n_mels": 5, "tokens": 9, "style": 4, "channels": 8, "hidden": 12, "kernel": 3, "encoder": 2, "decoder": 2}


@given(st.lists(st.integers(1, 30), min_size=1, max_size=40))
def test_a_frame_belongs_to_the_token_at_its_centre(durations):
    frames = NVIDIA.frames(-(-sum(durations) * 2205 // 4))
    found = tokens_of_frames(np.array(durations), frames, NVIDIA)
    for frame, token in enumerate(found):
        second = Fraction(frame * 256, 22050)
        start, end = (Fraction(600 * sum(durations[: token + k]), 24000) for k in (0, 1))
        assert start <= second
        assert second < end or token == len(durations) - 1


def test_places_count_from_both_ends():
    found = places(np.array([0, 0, 0, 0, 1, 2, 2]))
    np.testing.assert_allclose(found[0], [0.125, 0.375, 0.625, 0.875, 0.5, 0.25, 0.75])
    np.testing.assert_allclose(found[1], [0.0, 0.1, 0.2, 0.3, 0.0, 0.0, 0.1], rtol=1e-6)
    np.testing.assert_allclose(found[1] + found[2], (np.array([4, 4, 4, 4, 1, 2, 2]) - 1) / 10, rtol=1e-6)
    np.testing.assert_allclose(np.exp(found[3]) * 5, [4, 4, 4, 4, 1, 2, 2], rtol=1e-6)


def test_prosody_is_pitch_over_voiced_places_voicing_and_level():
    pitch = np.array([0.0, 0.0, 400.0, 400.0, 100.0, 0.0])
    mel = np.full((80, 4), -5.0, np.float32)
    mel[:, 3] = -3.0
    found = token_prosody(pitch, np.array([1, 1, 1]), mel, np.array([0, 1, 1, 2]))
    np.testing.assert_allclose(found, [[0.0, 1.0, -1.0], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]], atol=1e-6)


def test_frames_are_cut_together_and_padded_with_a_mask(tmp_path):
    examples = [example_of(path, NVIDIA) for path in write_speech(tmp_path, 3)]
    items = SpeechItems(examples, 60, padding=178, seed=0)
    for epoch in range(4):
        items.set_epoch(epoch)
        for number, example in enumerate(examples):
            item = items[number]
            total = example.mel.shape[1]
            count = min(60, total)
            start = next(
                k for k in range(total) if np.array_equal(example.mel[:, k : k + count], item["mel"][:, :count])
            )
            for name in ("mel", "places", "index"):
                whole = getattr(example, name)[..., start : start + 60]
                np.testing.assert_array_equal(item[name][..., : whole.shape[-1]], whole)
            assert item["mask"].sum() == count
    assert not torch.equal(items[0]["mel"], SpeechItems(examples, 60, padding=178, seed=0)[0]["mel"])  # of epoch 0
    long = SpeechItems(examples, 500, padding=178, seed=0)[0]
    assert long["mask"].sum() == examples[0].mel.shape[1]
    assert not long["mel"][:, long["mask"] == 0].any()


def test_two_halves_hold_each_other_out(tmp_path):
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


def spoken(model, given, prosody=None):
    seen = (given[name] for name in ("tokens", "style", "index", "places", "mask"))
    mel = model(*seen, prosody)[0]
    return mel


@pytest.mark.parametrize("prosody", [False, True])
def test_padding_changes_nothing(prosody):
    model, given = small(prosody), batch()
    padded = {
        **given,
        "tokens": torch.nn.functional.pad(given["tokens"], (0, 4), value=9),
        **{name: torch.nn.functional.pad(given[name], (0, 7)) for name in ("index", "places", "mask")},
    }
    torch.testing.assert_close(spoken(model, padded)[:, :, :20], spoken(model, given))


def test_the_loss_counts_real_frames_and_voiced_pitch_alone():
    objective, given = AcousticObjective(small(prosody=True), preset("nvidia")), batch()
    loss, parts = objective.loss("model", given, 0)
    torch.testing.assert_close(loss, parts["mel"] + 0.3 * parts["prosody"])
    torch.testing.assert_close(
        parts["mel"], (spoken(objective.model, given, given["prosody"]) - given["mel"]).abs().mean()
    )
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
