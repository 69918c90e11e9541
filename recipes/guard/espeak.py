"""Speech for the guard that is made on the spot: espeak-ng says numbers in many languages and voices."""

from __future__ import annotations

import io
import shutil
import subprocess
from typing import Literal

import numpy as np
import soundfile

from recipes.guard.channel import at_rate

Use = Literal["fit", "calibrate"]
_LANGUAGES = (
    "af am ar az bg bn ca cmn cs cy da de el en-gb en-us eo es et eu fa fi fr-fr ga gu he hi hr hu hy id is it ja ka "
    "kk kn ko ky la lt lv mk ml mr ms mt my nb ne nl om pa pl pt ro ru sd si sk sl sq sr sv sw ta te th tk tr tt uk ur "
    "uz vi yue"
)
_VOICES = "adam anika belinda boris f1 f2 f3 f4 f5 john linda m1 m2 m3 m4 m5 m6 m7 m8 max quincy rob steph"
LANGUAGES = tuple(_LANGUAGES.split())
"""that read digits as words"""
VOICES = tuple(_VOICES.split())


def spoken_numbers(count: int, sample_rate: int, use: Use, seed: int) -> list[np.ndarray]:
    """Return utterances (T,) float32: numbers, which need no text, each in a language and voice drawn at random.

    Those to fit to and those to calibrate with have no language and no voice in common.

    Raises:
        ValueError: espeak-ng is not installed.
    """
    if count and shutil.which("espeak-ng") is None:
        raise ValueError(
            "the guard needs speech of espeak-ng: install the Debian package espeak-ng, or have it say nothing"
        )
    rng, part = np.random.default_rng(seed), slice(0 if use == "fit" else 1, None, 2)
    found: list[np.ndarray] = []
    while len(found) < count:
        language, voice = str(rng.choice(LANGUAGES[part])), str(rng.choice(VOICES[part]))
        numbers = " ".join(str(n) for n in rng.integers(0, 5000, int(rng.integers(1, 5))))
        pitch, speed = int(rng.integers(20, 80)), int(rng.integers(110, 220))
        x, rate = _spoken(f"{language}+{voice}", numbers, pitch, speed)
        if len(x) > rate // 4:
            found.append(at_rate(x, rate, sample_rate))
    return found


def _spoken(voice: str, text: str, pitch: int, speed: int) -> tuple[np.ndarray, int]:
    command = ["espeak-ng", "-v", voice, "-p", str(pitch), "-s", str(speed), "--stdout", text]
    answer = subprocess.run(command, capture_output=True, check=True)
    x, rate = soundfile.read(io.BytesIO(answer.stdout), dtype="float32")
    return np.asarray(x, dtype=np.float32), int(rate)
