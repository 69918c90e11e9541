"""Artificial speech with durations: tones with one pitch per phoneme."""

import numpy as np

from recipes.corpora.kokoro_voice import SAMPLE_RATE, UNIT, Speech


def toy_utterance(number):
    """Return an utterance of five phonemes; phoneme t has the pitch 100 + 20 t Hz, and 0 is silent."""
    rng = np.random.default_rng(number)
    tokens = np.array([0, *rng.integers(1, 9, 3), 0])
    durations = rng.integers(6, 14, 5)
    pitch = np.repeat(np.where(tokens > 0, 100.0 + 20.0 * tokens, 0.0), 2 * durations)
    f0 = np.repeat(pitch, UNIT // 2)
    phase = 2 * np.pi * np.cumsum(f0) / SAMPLE_RATE
    x = 0.05 * sum(np.sin(n * phase) / n for n in range(1, 9)) * (f0 > 0)
    style = 0.1 * ((np.arange(4) + number) % 3)
    return Speech(x.astype(np.float32), tokens, durations, pitch, style.astype(np.float32))


def write_speech(folder, count, speaker="kokoro-jm_kumo"):
    paths = [folder / speaker / f"{number:05d}.flac" for number in range(count)]
    for number, path in enumerate(paths):
        toy_utterance(number).save(path)
    return paths
