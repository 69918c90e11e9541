"""A folder of speech with durations that no synthesizer made: tones, one pitch for each phoneme."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soundfile

from recipes.acoustic.speech import INDEX, RATE, Line
from vocoder.config import to_dict

UNIT_SECONDS = 600 / 24000


def toy_line(number: int, speaker: str = "kokoro-jm_kumo") -> Line:
    """An utterance of five phonemes; phoneme t has the pitch 100 + 20 t Hz, and 0 is silent."""
    drawn = np.random.default_rng(number)
    tokens = (0, *map(int, drawn.integers(1, 9, 3)), 0)
    durations = tuple(map(int, drawn.integers(6, 14, 5)))
    pitch = [0.0 if token == 0 else 100.0 + 20.0 * token for token in tokens]
    return Line(
        path=f"audio/{speaker}/{number:05d}.flac",
        speaker=speaker,
        text="la la la",
        language="it",
        speed=1.0,
        samples=-(-sum(durations) * 2205 // 4),
        bandwidth=RATE / 2,
        tokens=tokens,
        durations=durations,
        pitch=tuple(float(p) for p, d in zip(pitch, durations, strict=True) for _ in range(2 * d)),
        style=tuple(0.1 * ((i + number) % 3) for i in range(4)),
    )


def toy_audio(line: Line) -> np.ndarray:
    """The tones, (samples,)."""
    time = np.arange(line.samples) / RATE
    f0 = np.array(line.pitch)[np.minimum((time / (UNIT_SECONDS / 2)).astype(int), len(line.pitch) - 1)]
    phase = 2 * np.pi * np.cumsum(f0) / RATE
    return (0.05 * sum(np.sin(n * phase) / n for n in range(1, 9)) * (f0 > 0)).astype(np.float32)


def write_speech(folder: Path, count: int, speaker: str = "kokoro-jm_kumo") -> list[Line]:
    """Write so many utterances and their index."""
    lines = [toy_line(number, speaker) for number in range(count)]
    for line in lines:
        path = folder / line.path
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, toy_audio(line), RATE, subtype="PCM_16")
    text = "".join(json.dumps(to_dict(line)) + "\n" for line in lines)
    (folder / INDEX).write_text(text, encoding="utf-8")
    return lines
