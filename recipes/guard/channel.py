"""Variation of recordings: other microphones, rooms, codecs and levels."""

from __future__ import annotations

import io

import av
import librosa
import numpy as np

from training.data.augment import AugmentConfig, augmented

_ENVELOPE = 0.03  # seconds over which loudness is measured
_EXPONENTS = (-0.4, 0.8)  # of the gain by which it is changed

CODECS: dict[str, tuple[str, str, int, tuple[int, ...]]] = {
    "mp3": ("mp3", "libmp3lame", 22050, (24000, 48000)),
    "opus": ("ogg", "libopus", 24000, (10000, 32000)),
    "opus-narrow": ("ogg", "libopus", 8000, (8000, 16000)),
    "mulaw": ("wav", "pcm_mulaw", 8000, ()),
    "amr": ("amr", "libopencore_amrnb", 8000, (4750, 12200)),
    "g722": ("g722", "g722", 16000, ()),
}
"""container, encoder, sample rate in Hz, and the range of its bit rates"""


_AUGMENT = AugmentConfig(equaliser_db=12.0, low_pass=0.35, low_pass_hz=(3400.0, 11000.0), noise=0.4, reverberation=0.3)
_DYNAMICS, _CODEC, _SIXTEEN_BITS = 0.5, 0.25, 0.7  # shares of recordings: other loudness, a codec, rounded in the end
_RMS_DB = (-50.0, -14.0)  # of full scale


def from_elsewhere(x: np.ndarray, band: float, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Return a recording (T,) float32, whose band ends at `band` Hz, as others might have made it, at another level."""
    if rng.random() < _DYNAMICS:
        x = expanded(x, rng.uniform(*_EXPONENTS), sample_rate)
    x, _ = augmented(x, band, sample_rate, _AUGMENT, rng)
    low, high = _RMS_DB
    level = 10 ** ((low + (high - low) * rng.random()) / 20)
    x = np.clip(x * (level / max(float(np.sqrt(np.mean(np.square(x)))), 1e-6)), -1.0, 1.0).astype(np.float32)
    if rng.random() < _CODEC:
        x = coded(x, sample_rate, tuple(CODECS)[int(rng.integers(len(CODECS)))], rng)
    return np.round(x * 32768).astype(np.float32) / 32768 if rng.random() < _SIXTEEN_BITS else x


def expanded(x: np.ndarray, exponent: float, sample_rate: int) -> np.ndarray:
    """Return audio (T,) whose gain is its envelope to a power: 1 doubles all differences of level, -1 removes them."""
    width = max(1, round(_ENVELOPE * sample_rate))
    energy = np.convolve(np.square(x, dtype=np.float64), np.full(width, 1 / width), mode="same")
    level = np.sqrt(energy / max(float(energy.max()), 1e-12) + 1e-8)
    return (x * level**exponent).astype(np.float32)


def coded(x: np.ndarray, sample_rate: int, name: str, rng: np.random.Generator) -> np.ndarray:
    """Return audio (T,) as a codec of `CODECS` gives it back, padded or cut to its length."""
    container, encoder, rate, bits = CODECS[name]
    y = at_rate(x, sample_rate, rate)
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(encoder, rate=rate, layout="mono")
        if bits:
            stream.bit_rate = int(rng.integers(bits[0], bits[1] + 1))
        frame = av.AudioFrame.from_ndarray(
            np.clip(np.round(y * 32767), -32768, 32767).astype(np.int16)[None], format="s16", layout="mono"
        )
        frame.sample_rate = rate
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=rate, frame_size=stream.frame_size or 0)
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    file.seek(0)
    parts = []
    with av.open(file, format=container) as source:
        back = av.AudioResampler(format="flt", layout="mono", rate=rate)
        for decoded in source.decode(audio=0):
            parts += [part.to_ndarray()[0] for part in back.resample(decoded)]
    z = at_rate(np.concatenate(parts), rate, sample_rate)
    return np.pad(z, (0, max(0, len(x) - len(z))))[: len(x)]


def at_rate(x: np.ndarray, rate: int, other: int) -> np.ndarray:
    """Return audio (T,) float32 at another sample rate."""
    if rate == other:
        return x
    return np.asarray(librosa.resample(x, orig_sr=rate, target_sr=other, res_type="soxr_hq"), dtype=np.float32)
