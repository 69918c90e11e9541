"""A blind listening test: a hidden reference, a low anchor and all candidates, in random order."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from training.evaluate.listening.rendering import render
from training.evaluate.listening.utterance import Clip, Utterance, flac_uri
from training.evaluate.metric import Audio
from vocoder.audio.resampling import resample

HIDDEN_REFERENCE = "hidden reference"
ANCHOR = "anchor, 3.5 kHz"
_ANCHOR_RATE = 7000  # Hz, twice the band that is left


@dataclass(frozen=True)
class BlindTest:
    """A page, and what it does not tell.

    Attributes:
        page: one HTML document that needs nothing else and names no candidate.
        key: by item, what it is: {"candidate", "voice", "path"}.
    """

    page: str
    key: dict[str, dict[str, str]]


def blind_test(utterances: Sequence[Utterance], seed: int = 0) -> BlindTest:
    """Return a test in the manner of MUSHRA (ITU-R BS.1534-3): sliders from 0 to 100, an open and a hidden reference.

    Items have random names of eight hexadecimal digits and stand in random order; the page shuffles trials and items
    once more for each listener. Sounds carry no tags, and the page has no name but that of the trial.
    """
    rng = random.Random(seed)
    key: dict[str, dict[str, str]] = {}
    trials = []
    for number, utterance in enumerate(utterances, 1):
        original, items = utterance.reference.x, []
        anchor = Clip(ANCHOR, low_anchor(original, utterance.sample_rate))
        clips = [Clip(HIDDEN_REFERENCE, original), anchor, *utterance.clips]
        for clip in rng.sample(clips, len(clips)):
            name = f"{rng.getrandbits(32):08x}"
            key[name] = {"candidate": clip.candidate, "voice": utterance.voice, "path": utterance.path}
            items.append({"item": name, "audio": flac_uri(clip.x, utterance.sample_rate)})
        reference = flac_uri(original, utterance.sample_rate)
        trials.append({"trial": number, "reference": reference, "items": items})
    return BlindTest(render("blind.html", trials=trials), key)


def low_anchor(x: Audio, sample_rate: int) -> Audio:
    """Return audio (T,) with nothing above 3.5 kHz, the anchor that ITU-R BS.1534-3 asks for."""
    return resample(resample(x, sample_rate, _ANCHOR_RATE), _ANCHOR_RATE, sample_rate)[: len(x)]
