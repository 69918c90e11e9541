"""Recordings for the guard: those of corpora, augmented as if from other sources, and numbers read by espeak-ng."""

import io
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import partial
from itertools import chain
from typing import Literal

import av
import librosa
import numpy as np
import soundfile

from recipes.corpora.kokoro_voice import ESPEAK, espeak
from training.corpora.condition import decode_with_av, rms
from training.corpora.manifest import Entry, Manifest
from training.data.augment import AugmentConfig, augmented
from training.data.rational_resampling import crop, rate_grid, resampled_length
from training.data.stores import AudioStore

_ENVELOPE = 0.03  # seconds over which loudness is measured
_EXPONENTS = (-0.4, 0.8)  # range of exponents of the envelope that give the gain

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
_DYNAMICS, _CODEC, _SIXTEEN_BITS = 0.5, 0.25, 0.7  # shares with changed dynamics, with a codec, rounded to 16 bits
_RMS_DB = (-50.0, -14.0)  # relative to full scale
Labelled = Iterator[tuple[np.ndarray, str]]
"""recordings (T,), each with its corpus"""
_LANGUAGES = (  # languages in which espeak-ng reads digits as words
    "af am ar az bg bn ca cmn cs cy da de el en-gb en-us eo es et eu fa fi fr-fr ga gu he hi hr hu hy id is it ja ka "
    "kk kn ko ky la lt lv mk ml mr ms mt my nb ne nl om pa pl pt ro ru sd si sk sl sq sr sv sw ta te th tk tr tt uk ur "
    "uz vi yue"
)
_VOICES = "adam anika belinda boris f1 f2 f3 f4 f5 john linda m1 m2 m3 m4 m5 m6 m7 m8 max quincy rob steph"
_LEAST_SECONDS, _MOST_SECONDS = 0.6, 3.2
_SPEEDS = rate_grid((0.65, 1.5))
_VARIED = 0.5  # share of calibration recordings that are augmented like those for fitting


def from_elsewhere(x: np.ndarray, band: float, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Return a recording (T,) float32 with band edge `band` in Hz, augmented as if from another source."""
    if rng.random() < _DYNAMICS:
        width = max(1, round(_ENVELOPE * sample_rate))
        energy = np.convolve(np.square(x, dtype=np.float64), np.full(width, 1 / width), mode="same")
        loudness = np.sqrt(energy / max(float(energy.max()), 1e-12) + 1e-8)
        # A power of the envelope: 1 would double all differences of level, -1 remove them.
        x = (x * loudness ** rng.uniform(*_EXPONENTS)).astype(np.float32)
    x, _ = augmented(x, band, sample_rate, _AUGMENT, rng)
    level = 10 ** (rng.uniform(*_RMS_DB) / 20)
    x = np.clip(x * (level / max(rms(x), 1e-6)), -1.0, 1.0).astype(np.float32)
    if rng.random() < _CODEC:
        x = coded(x, sample_rate, tuple(CODECS)[int(rng.integers(len(CODECS)))], rng)
    return np.round(x * 32768).astype(np.float32) / 32768 if rng.random() < _SIXTEEN_BITS else x


def coded(x: np.ndarray, sample_rate: int, name: str, rng: np.random.Generator) -> np.ndarray:
    """Return audio (T,) encoded and decoded by a codec of `CODECS`, padded or cut to its length."""
    container, encoder, rate, bits = CODECS[name]
    y = at_rate(x, sample_rate, rate)
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(encoder, rate=rate, layout="mono")
        if bits:
            stream.bit_rate = int(rng.integers(bits[0], bits[1] + 1))
        samples = np.clip(np.round(y * 32767), -32768, 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = rate
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=rate, frame_size=stream.frame_size or 0)
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    file.seek(0)
    z = at_rate(*decode_with_av(file, container), sample_rate)
    return np.pad(z, (0, max(0, len(x) - len(z))))[: len(x)]


def at_rate(x: np.ndarray, rate: int, other: int) -> np.ndarray:
    """Return audio (T,) float32 at another sample rate."""
    return np.asarray(librosa.resample(x, orig_sr=rate, target_sr=other, res_type="soxr_hq"), dtype=np.float32)


def to_fit(manifest: Manifest, entries: Sequence[Entry], count: int, spoken: int, seed: int) -> Labelled:
    """Yield segments (T,) of utterances, and numbers read by espeak-ng, all augmented, with their corpora.

    All corpora are equally frequent. Short utterances are joined, and speeds vary.
    """
    rate, rng = manifest.sample_rate, np.random.default_rng(seed)
    store, corpora = AudioStore(manifest, entries), sorted({entry.corpus for entry in entries})
    members = {corpus: [i for i, entry in enumerate(entries) if entry.corpus == corpus] for corpus in corpora}
    for k in range(count):
        corpus = corpora[k % len(corpora)]
        speed = _SPEEDS[int(rng.integers(len(_SPEEDS)))] if rng.random() < 0.75 else Fraction(1)
        wanted = int(rate * rng.uniform(_LEAST_SECONDS, _MOST_SECONDS))
        band, pieces = rate / 2, list[np.ndarray]()
        while sum(map(len, pieces)) < _LEAST_SECONDS * rate:
            i = members[corpus][int(rng.integers(len(members[corpus])))]
            length = resampled_length(int(store.lengths[i]), speed)
            start = int(rng.integers(0, max(1, length - wanted + 1)))
            pieces.append(crop(partial(store.read, i), speed, start, min(start + wanted, length)))
            band = min(band, entries[i].band_edge * float(speed))
        yield from_elsewhere(np.concatenate(pieces), band, rate, rng), corpus
    rng = np.random.default_rng(seed)
    for x in numbers(rate, spoken, "fit", seed):
        yield from_elsewhere(x, rate / 2, rate, rng), ESPEAK


def to_calibrate(manifest: Manifest, entries: Sequence[Entry], spoken: int, seed: int) -> Labelled:
    """Yield utterances (T,), and other numbers read by espeak-ng, half of them augmented, with their corpora."""
    rate, rng = manifest.sample_rate, np.random.default_rng(seed)
    store = AudioStore(manifest, entries)
    real = ((store.whole(i), entry.corpus) for i, entry in enumerate(entries))
    made = ((x, ESPEAK) for x in numbers(rate, spoken, "calibrate", seed))
    for x, corpus in chain(real, made):
        yield from_elsewhere(x, rate / 2, rate, rng) if rng.random() < _VARIED else x, corpus


def numbers(sample_rate: int, count: int, use: Literal["fit", "calibrate"], seed: int) -> Iterator[np.ndarray]:
    """Yield utterances (T,) float32 of espeak-ng: numbers, which need no text, in random languages and voices.

    Those for fitting and those for calibration have no language or voice in common. Raises CorpusError if espeak-ng is
    not installed.
    """
    rng, part = np.random.default_rng(seed), slice(0 if use == "fit" else 1, None, 2)
    while count:
        voice = f"{rng.choice(_LANGUAGES.split()[part])}+{rng.choice(_VOICES.split()[part])}"
        text = " ".join(str(n) for n in rng.integers(0, 5000, int(rng.integers(1, 5))))
        pitch, speed = rng.integers(20, 80), rng.integers(110, 220)
        answer = espeak("-v", voice, "-p", str(pitch), "-s", str(speed), "--stdout", text)
        x, rate = soundfile.read(io.BytesIO(answer), dtype="float32")
        if len(x) > rate // 4:
            count -= 1
            yield at_rate(x, rate, sample_rate)
