"""One rule for mels that are not typical of their contract, wherever they come from."""

from __future__ import annotations

import dataclasses
import functools
import math
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import vocoder
from vocoder.adapt.path import path_between
from vocoder.audio.file import read_audio
from vocoder.guard.opinion import GuardMode, MelWarning, MelWatch, UnlikelyMelError, judged
from vocoder.mel.config import preset
from vocoder.mel.spectrogram import MelSpectrogram

RECORDING = Path(__file__).parents[3] / "examples" / "heldout.flac"
WORDS = "decimal logarithms"


@functools.cache
def right() -> Tensor:
    x, _ = read_audio(RECORDING, 22050)
    return MelSpectrogram(preset("nvidia"))(torch.from_numpy(x)[None])[0, :, :200]


def wrong() -> Tensor:
    return right() / math.log(10)


@pytest.fixture(scope="module")
def voice() -> Callable[[GuardMode], vocoder.Synthesizer]:
    return functools.cache(lambda guard: vocoder.load("waveglow", dtype=torch.float32, guard=guard))


def by_frames(mel: Tensor) -> Iterator[Tensor]:
    return iter(mel.T)


@pytest.mark.parametrize("mode", ["warn", "strict", "off"])
@pytest.mark.parametrize("asked", ["at loading", "in the call"])
def test_python_says_refuses_or_is_silent(voice: Any, mode: GuardMode, asked: str) -> None:
    v = voice(mode if asked == "at loading" else "off")
    ways = (
        lambda guard: v.synthesize(wrong()[:, :64], seed=1, **guard),
        lambda guard: next(v.stream(wrong()[:, :64], seed=1, **guard)),
        lambda guard: list(v.stream(by_frames(wrong()[:, :140]), seed=1, **guard)),
    )
    for speak in ways:
        guard = {} if asked == "at loading" else {"guard": mode}
        if mode == "warn":
            with pytest.warns(MelWarning, match=WORDS):
                speak(guard)
        elif mode == "strict":
            with pytest.raises(UnlikelyMelError, match=WORDS):
                speak(guard)
        else:
            assert len(speak(guard)) > 0


def watched(watch: MelWatch, *mels: Tensor) -> int:
    """The number of warnings about a batch."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        watch.look(torch.stack(mels))
    return len([warning for warning in caught if warning.category is MelWarning])


def test_one_typical_mel_is_trusted_to_have_siblings() -> None:
    watch = MelWatch(preset("nvidia"))
    assert watched(watch, wrong(), wrong()) == 2
    assert watched(watch, right()[:, :2]) == 0
    assert watched(watch, wrong()) == 1  # two frames were too few to trust
    assert watched(watch, right(), wrong()) == 0
    with pytest.raises(UnlikelyMelError):
        watch.look(torch.stack([right(), wrong()]), "strict")


def test_contracts_that_the_guard_does_not_know_are_left_alone() -> None:
    slow = dataclasses.replace(preset("vocos"), name="slow", hop_length=300)
    assert watched(MelWatch(slow), torch.randn(100, 200)) == 0


def test_mels_of_100_bands_are_judged_by_their_own_guard() -> None:
    vocos = preset("vocos")
    bigvgan = dataclasses.replace(vocos, name="bigvgan", mel_scale="slaney", mel_norm="slaney", floor=1e-5)
    x = torch.from_numpy(read_audio(RECORDING, vocos.sample_rate)[0])[None]
    claimed = path_between(vocos, preset("nvidia"))
    true, other = (judged(MelSpectrogram(config)(x)[0], claimed) for config in (vocos, bigvgan))
    assert true is not None
    assert (true.typical, true.adapted) == (True, "vocos")
    assert other is not None
    assert (other.typical, other.cause) == (False, "bands")
    assert "looks like the bands of the bigvgan preset: pass preset=bigvgan or fireredtts" in other.message


def test_a_mode_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match="guard must be one of warn, strict, off, not 'loud'"):
        MelWatch(preset("nvidia"), "loud")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not 'header'"):
        MelWatch(preset("nvidia")).look(right()[None], "header")  # type: ignore[arg-type]
