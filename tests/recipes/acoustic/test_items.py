"""Training items: the parts of an utterance stay together, and parts of a corpus stay apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from toy_speech import toy_line, write_speech

from recipes.acoustic.items import SpeechItems, example_of, parted
from vocoder.config import ConfigError
from vocoder.mel.config import preset

NVIDIA = preset("nvidia")


def test_frames_are_cut_together_and_padded_with_a_mask(tmp_path: Path) -> None:
    examples = [example_of(line, tmp_path, NVIDIA) for line in write_speech(tmp_path, 3)]
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


def test_audio_of_another_length_is_refused(tmp_path: Path) -> None:
    line = write_speech(tmp_path, 1)[0]
    longer = type(line)(**{**vars(line), "samples": line.samples + 1})
    with pytest.raises(ConfigError, match="must have"):
        example_of(longer, tmp_path, NVIDIA)


def test_two_halves_hold_each_other_out() -> None:
    lines = [toy_line(number) for number in range(11)]
    (first, held_first), (second, held_second) = (parted(lines, 2, held) for held in (0, 1))
    assert (first, second) == (held_second, held_first)
    assert sorted(line.path for line in [*first, *second]) == [line.path for line in lines]
    with pytest.raises(ConfigError, match="folds must be at least 2"):
        parted(lines, 2, 2)
    with pytest.raises(ConfigError, match="too few"):
        parted(lines[:3], 12, 5)
