"""Mel configs: everything that two programs must agree on to exchange mel-spectrograms. Presets and their names."""

import dataclasses
import difflib
import math
import re
from collections.abc import Collection, Iterator, Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import Annotated, Any, Literal

from vocoder.config import POSITIVE, Checked, ConfigError, Positive, Rules, Share

ALIASES: Mapping[str, str] = {
    "matcha-tts": "hifigan",
    "cosyvoice": "hifigan",
    "chatterbox": "cosyvoice2",
    "soulx-podcast": "cosyvoice2",
    "glm-4-voice": "hifigan",
    "e2-tts": "f5-tts",
    "chattts": "f5-tts",
    "luxtts": "zipvoice",
    "glow-tts": "nvidia",
    "grad-tts": "hifigan",
    "indextts-2.5": "indextts2",
    "fireredtts-1": "fireredtts",
}
"""other names of presets -> the preset"""

_VERSIONED: Mapping[str, str] = {
    "indextts": "'indextts2'",
    "gptsovits": "'gpt-sovits-v4'",
    "fireredtts1s": "'cosyvoice2'",
    "glmtts": "'cosyvoice2'",
    "stepaudio": "'cosyvoice'",
    "seedvc": "'indextts2', or 'hifigan' in real time",
    "tortoise": "'bigvgan', whose frames are centred half a hop later",
    "paddlespeech": "'espnet-24k', or 'espnet' at 22,050 Hz",
    "fastspeech2": "'nvidia' or 'espnet'",
    "fastpitch": "'nvidia'",
    "tacotron2": "'nvidia'",
}
"""start of a name whose mels depend on the version or recipe -> the likely preset"""
_LATENT = re.compile(
    "xtts|styletts2|kokoro|openvoice|melotts|vits|sovitssvc|gptsovitsv[12]|indextts1|fireredtts2|sparktts|fishspeech|"
    "maskgct|megatts3|qwen3tts|vibevoice|dia"
)
"""starts of the names of systems, or of versions, that have no mel"""
Size = Annotated[int, (1, 2**15)]
"""limited far beyond any use, so that an untrusted mel config cannot ask for gigabytes of filters"""


class MelWarning(UserWarning):
    """A mel is not typical of its mel config, but was synthesized. The message says what it looks like."""


@dataclasses.dataclass(frozen=True)
class MelConfig(Checked):
    """How to compute a mel-spectrogram, in the order of the fields; raises a ConfigError for contradictory values."""

    name: str
    sample_rate: Annotated[int, (1, 384_000)]
    """Hz."""
    n_fft: Size
    win_length: Size
    """Length of the periodic Hann window, centred in the `n_fft` samples of a frame."""
    hop_length: Size
    n_mels: Annotated[int, (1, 512)]
    f_min: float
    f_max: float
    """Hz, at most half of `sample_rate`."""
    centre: Literal["reflect", "same"] = "reflect"
    """Reflect `n_fft // 2` samples at both ends (1 + T // hop frames), or `(n_fft - hop) // 2` (T // hop frames)."""
    power: float = 1.0
    """1 for magnitudes, 2 for powers."""
    magnitude_epsilon: Share = 0.0
    """Added to the squared magnitude before the square root."""
    mel_scale: Literal["slaney", "htk"] = "slaney"
    mel_norm: Literal["slaney", "none"] = "slaney"
    """Triangles of unit area, or of unit height."""
    floor: Annotated[float, (POSITIVE[0], 1)] = 1e-5
    """Lower bound of the mel energies before the logarithm."""
    log: Literal["ln", "log10", "db20", "db10"] = "ln"
    """Natural or decimal logarithm, or 20 or 10 times the decimal one, whatever the `power`."""
    ref_db: float = 0.0
    """Subtracted from decibels; only with `db20`."""
    range_db: Positive | None = None
    """Maps decibels from [-range_db, 0] to [range_low, range_high] and clips; only with `db20`."""
    range_low: float = 0.0
    range_high: float = 1.0
    """Target range of that map; only with `range_db`."""
    mean: tuple[float, ...] | None = None
    """Subtracted from each band; requires `variance`."""
    variance: tuple[float, ...] | None = None
    """Each band is divided by the square root of its variance."""

    def __post_init__(self) -> None:
        try:
            super().__post_init__()
        except ConfigError as error:
            raise ConfigError(f"mel config {self.name!r}: {error}") from None

    @property
    def padding(self) -> int:
        """Samples reflected at each end of the audio before framing."""
        return self.n_fft // 2 if self.centre == "reflect" else (self.n_fft - self.hop_length) // 2

    @property
    def frame_seconds(self) -> Fraction:
        """Time between frames in seconds."""
        return Fraction(self.hop_length, self.sample_rate)

    @property
    def scaled(self) -> bool:
        """Whether mean and variance are the same for all bands: they scale values, rather than normalise a corpus."""
        return self.mean is not None and self.variance is not None and len({*self.mean}) == len({*self.variance}) == 1

    @property
    def correctable(self) -> bool:
        """Whether audio can be corrected to its mels: natural logarithms of magnitudes, and n_fft of whole hops."""
        return self.log == "ln" and self.power == 1.0 and self.mean is None and self.n_fft % self.hop_length == 0

    def frames(self, samples: int) -> int:
        """Return the number of mel frames for `samples` samples."""
        return max(0, 1 + (samples + 2 * self.padding - self.n_fft) // self.hop_length)

    def _rules(self) -> Rules:
        lengths, bounds = (self.hop_length, self.win_length, self.n_fft), (self.f_min, self.f_max, self.sample_rate / 2)
        yield self.n_fft % 2 == 0, f"n_fft must be even, not {self.n_fft}"
        yield tuple(sorted(lengths)) == lengths, f"hop_length <= win_length <= n_fft must hold, but they are {lengths}"
        even = self.centre == "reflect" or self.hop_length % 2 == 0
        yield even, f"centre 'same' needs an even hop_length, not {self.hop_length}"
        ordered = 0 <= bounds[0] < bounds[1] <= bounds[2]
        yield ordered, f"0 <= f_min < f_max <= sample_rate / 2 must hold, but they are {bounds}"
        yield self.power in (1.0, 2.0), f"power must be 1 or 2, not {self.power}"
        yield math.isfinite(self.ref_db), f"ref_db must be finite, not {self.ref_db}"
        decibels = self.log == "db20" or (self.ref_db == 0 and self.range_db is None)
        yield decibels, f"ref_db and range_db need log 'db20', not {self.log!r}"
        limits = (self.range_low, self.range_high)
        yield limits == (0.0, 1.0) or self.range_db is not None, f"range_low and range_high {limits} need range_db"
        yield -math.inf < limits[0] < limits[1] < math.inf, f"range_low < range_high must hold, but they are {limits}"
        yield (self.mean is None) == (self.variance is None), "give mean and variance together, or neither"
        for field, values in (("mean", self.mean), ("variance", self.variance)):
            size = self.n_mels if values is None else len(values)
            yield size == self.n_mels, f"{field} must have {self.n_mels} values (n_mels), not {size}"
            yield all(abs(value) < 1e15 for value in values or ()), f"{field} must be finite and below 1e15"
        least = min(self.variance or (1.0,))
        yield least > 1e-30, f"variance must be positive, above 1e-30, not {least}"


def _like(base: MelConfig, name: str, **changes: Any) -> MelConfig:
    return dataclasses.replace(base, name=name, **changes)


def _scaled(base: MelConfig, name: str, mean: float, scale: float, **changes: Any) -> MelConfig:
    """Return a mel config with values (mel - mean) / scale, the same for all bands."""
    return _like(base, name, mean=(mean,) * base.n_mels, variance=(scale**2,) * base.n_mels, **changes)


def _presets() -> Iterator[MelConfig]:
    """Yield the mel configs of published models, the default first.

    To add one, add a row. A preset that does not convert exactly also needs an adapter; bands that the guard should
    recognise need a layout in `mel.conventions` and a newly fitted guard.
    """
    lengths: dict[str, Any] = {"n_fft": 1024, "win_length": 1024, "hop_length": 256}
    nvidia = MelConfig("nvidia", 22050, **lengths, n_mels=80, f_min=0.0, f_max=8000.0)
    yield nvidia  # Tacotron 2 and the published WaveGlow
    # The same bands, but frames are centred half a hop later and there is one fewer.
    hifigan = _like(nvidia, "hifigan", centre="same", magnitude_epsilon=1e-9)
    yield hifigan
    in_24k = {"sample_rate": 24000, "n_mels": 100, "f_max": 12000.0}
    vocos = _like(nvidia, "vocos", **in_24k, mel_scale="htk", mel_norm="none", floor=1e-7)
    yield vocos
    yield _like(vocos, "f5-tts", floor=1e-5)
    yield _scaled(vocos, "zipvoice", 0.0, 10.0)  # the acoustic model's output, a tenth of its vocoder's input
    bigvgan = _like(hifigan, "bigvgan", **in_24k)
    yield bigvgan
    # The acoustic models' output: -12..2 mapped to -1..1.
    sovits = _scaled(bigvgan, "gpt-sovits-v3", -5.0, 7.0, magnitude_epsilon=1e-8)
    yield sovits
    longer = {"n_fft": 1280, "win_length": 1280, "hop_length": 320}
    yield _like(sovits, "gpt-sovits-v4", sample_rate=32000, f_max=16000.0, **longer)
    # Windows of 80 ms, 20 ms apart.
    cosyvoice = _like(hifigan, "cosyvoice2", sample_rate=24000, n_fft=1920, win_length=1920, hop_length=480)
    yield cosyvoice
    yield _like(cosyvoice, "cosyvoice3", f_max=12000.0)
    yield _like(nvidia, "nemo", f_max=11025.0)  # NVIDIA's NeMo: bands up to half the sample rate
    yield _like(hifigan, "indextts2", f_max=11025.0)  # NeMo's bands, framed as in HiFi-GAN
    yield _like(hifigan, "fireredtts", sample_rate=16000, hop_length=160, n_mels=100)
    # ESPnet and Parallel WaveGAN recipes at 22,050 Hz, and r9y9's wavenet_vocoder; their per-corpus statistics go into
    # mean and variance.
    espnet = _like(nvidia, "espnet", f_min=80.0, f_max=7600.0, log="log10", floor=1e-10)
    yield espnet
    yield _like(espnet, "r9y9", f_min=125.0)
    # PaddleSpeech, and ESPnet, Parallel WaveGAN and TensorFlowTTS at 24 kHz: windows of 50 ms, 12.5 ms apart.
    yield _like(espnet, "espnet-24k", sample_rate=24000, n_fft=2048, win_length=1200, hop_length=300)
    # Tacotron 2 in TensorFlow by Rayhane-mamah (hparams.py at 02839cf): decibels of magnitude from -4 to 4, of audio
    # peak-normalised to 0.999.
    decibels = {"log": "db20", "ref_db": 20.0, "range_db": 100.0, "range_low": -4.0, "range_high": 4.0}
    yield _like(nvidia, "tacotron2-tf", f_min=25.0, f_max=7600.0, **decibels)
    yield _like(espnet, "speecht5", sample_rate=16000)  # arXiv 2110.07205: windows of 64 ms, 16 ms apart
    yield _like(nvidia, "librosa-db", power=2.0, log="db10", floor=1e-10)  # librosa.power_to_db of default power


MelConfigs = Mapping[str, MelConfig]
"""mel configs by name"""
PRESETS: MelConfigs = MappingProxyType({config.name: config for config in _presets()})


def canonical(name: str, known: Collection[str]) -> str | None:
    """Return the known preset that a name stands for, or None. Case and punctuation are ignored."""
    found = {_letters(word): ALIASES.get(word, word) for word in (*known, *ALIASES)}.get(_letters(name))
    return found if found in known else None


def _meant(name: str, known: Collection[str]) -> str:
    """Suggest presets for an ambiguous, shortened, lengthened or misspelt name, as the middle of an error message."""
    letters, words = _letters(name), {_letters(word): word for word in (*known, *ALIASES, "auto")}
    if name == "auto":
        return ", which is only for mels to synthesize or check: name one;"
    if _LATENT.match(letters):
        return ": this system has no mel, because its decoder takes latents or codes;"
    if (start := next((start for start in _VERSIONED if letters.startswith(start)), None)) is not None:
        return f": its mels are usually {_VERSIONED[start]}, see docs/acoustic-models.md;"
    near = [word for word in words if len(letters) > 1 and (letters in word or word in letters)]
    near = near or difflib.get_close_matches(letters, words, cutoff=0.7)
    return f"; did you mean {' or '.join(repr(words[word]) for word in near[:3])}?" if near else ";"


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))


def preset(name: str, known: MelConfigs = PRESETS) -> MelConfig:
    """Return a preset or another `known` config, also by an acoustic model's name; raises a ConfigError if unknown."""
    if (found := canonical(name, known)) is None:
        names = ", ".join((*known, *ALIASES))
        raise ConfigError(f"there is no mel preset {name!r}{_meant(name, known)} known: {names}")
    return known[found]
