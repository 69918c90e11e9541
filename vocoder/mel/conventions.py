"""The conventions that the guard tells apart: how bands are computed (layouts) and values are encoded (encodings)."""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from operator import attrgetter
from types import MappingProxyType
from typing import Any

from vocoder.mel.config import PRESETS, MelConfig, preset
from vocoder.mel.convert import plain

TRUE, POWER = "nvidia", "power"
"""layout of the shipped models, and the same layout of powers"""
VARIATIONS = ("time", "bands", "both", "averaged", "noisy")
"""how predicted mels differ from true ones: smoothed along time, bands or both, averaged in higher bands, or rough"""
SHUFFLED = "shuffled"  # frames in random order
ANY = ""  # any layout
NOT_SPEECH = "not-speech"  # bands in random order, or noise
_SPECTRUM = ("sample_rate", "n_fft", "win_length", "hop_length", "power")
_layout_fields = attrgetter(*_SPECTRUM, "n_mels", "f_min", "f_max", "mel_scale", "mel_norm")
"""the fields that determine a layout; the position of frames does not change values"""
HOPS: dict[int, tuple[int, ...]] = {128: (115, 140), 512: (440, 600)}
RATES: dict[int, tuple[int, ...]] = {16000: (), 24000: (), 44100: (48000,)}
"""wrong hop in samples, or rate in Hz -> others that count as the same fault"""
_LIKE = {"speecht5": "espnet-24k", "espnet-24k": "speecht5"}  # same bands, and the same ratio of window to hop
_OWN = ("sample_rate", "n_fft", "win_length", "hop_length", "f_min", "f_max")
POWER_FLOOR = 1e-10
"""of power mels: the square of the floor of magnitudes"""
PLAIN = "ln"  # natural logarithms
DB10, LOUDEST = "db10", "db-loudest"
"""decibels of power, and decibels relative to the loudest value, which lose the level of the speech"""
TRANSPOSED, STATISTICS = "transposed", "statistics"
LN10 = math.log(10.0)
TORTOISE = (-11.512925148010254, 2.3143386840820312)
"""natural logarithms that Tortoise maps to -1 and 1"""
NATURAL: dict[str, Any] = {"log": "ln", "ref_db": 0.0, "range_db": None, "range_low": 0.0, "range_high": 1.0}
"""fields of a mel config of natural logarithms"""


@dataclass(frozen=True)
class Layout:
    """A way to compute mels before the logarithm. Layouts do not convert into each other exactly."""

    mel_config: MelConfig
    """the layout with natural logarithms, whatever its users encode"""
    cause: str
    """kind of fault, as `Verdict.cause`; "typical" for a guard's own layout"""
    words: str
    """description for messages"""
    preset: str | None = None
    """the preset with these bands, if any"""
    near: tuple[int, ...] = ()
    """hops in samples, or sample rates in Hz, that count as the same fault"""
    like: str | None = None
    """preset of another layout that the recogniser cannot tell from this one"""

    @property
    def floor(self) -> float:
        """The smallest value."""
        return math.log(self.mel_config.floor)


@cache
def layouts() -> Mapping[str, Layout]:
    """Return all layouts by name: those of 80 bands, and those of 100, each starting with its guard's own layout."""
    return MappingProxyType(dict(_layouts()))


def _layouts() -> Iterator[tuple[str, Layout]]:
    nvidia, vocos = (dataclasses.replace(preset(name), name="guard") for name in (TRUE, "vocos"))
    bigvgan = dataclasses.replace(vocos, mel_scale="slaney", mel_norm="slaney", floor=1e-5)  # arXiv 2206.04658
    as_vocos, as_bigvgan = "the bands of the vocos preset", "the bands of the bigvgan preset"
    power: dict[str, Any] = {"power": 2.0, "floor": POWER_FLOOR}
    yield TRUE, Layout(nvidia, "typical", "the bands of the nvidia preset (0 to 8000 Hz)", TRUE)
    for name in ("nemo", "espnet", "r9y9", "tacotron2-tf", "cosyvoice2", "cosyvoice3", "espnet-24k", "speecht5"):
        own = {field: getattr(preset(name), field) for field in _OWN}
        words = f"the bands of the {name} preset ({own['f_min']:g} to {own['f_max']:g} Hz)"
        cause = "bands" if own["sample_rate"] == nvidia.sample_rate else "sample-rate"
        yield name, Layout(dataclasses.replace(nvidia, **own), cause, words, name, like=_LIKE.get(name))
    yield POWER, Layout(dataclasses.replace(nvidia, **power), "power", "squared magnitudes")
    words = "sums of powers instead of magnitudes, in bands from 125 to 7600 Hz"
    yield "clarinet", Layout(dataclasses.replace(nvidia, **power, f_min=125.0, f_max=7600.0), "power", words)
    yield "fft2048", Layout(dataclasses.replace(nvidia, n_fft=2048, win_length=2048), "n_fft", "an n_fft of 2048")
    yield "vocos", Layout(vocos, "typical", as_vocos, "vocos")
    yield "bigvgan", Layout(bigvgan, "bands", as_bigvgan, "bigvgan")
    for name in ("gpt-sovits-v4", "fireredtts"):
        config = plain(dataclasses.replace(preset(name), name="guard"))
        yield name, Layout(config, "sample-rate", f"the bands of the {name} preset", name)
    for name, config, words in (("vocos", vocos, as_vocos), ("bigvgan", bigvgan, as_bigvgan)):
        changed = dataclasses.replace(config, **power)
        yield f"{name}-power", Layout(changed, "power", f"squared magnitudes and {words}")
    for config, prefix, also in ((nvidia, "", ""), (vocos, "vocos-", f" and {as_vocos}")):
        for hop, near in HOPS.items():
            changed = dataclasses.replace(config, hop_length=hop)
            yield f"{prefix}hop{hop}", Layout(changed, "hop", f"a hop near {hop} samples{also}", near=near)
    for rate, near in RATES.items():
        words, changed = f"audio at about {rate} Hz", dataclasses.replace(nvidia, sample_rate=rate)
        yield f"rate{rate // 1000}", Layout(changed, "sample-rate", words, near=near)
        if rate != vocos.sample_rate:
            changed = dataclasses.replace(vocos, sample_rate=rate, f_max=rate / 2)
            yield f"vocos-rate{rate // 1000}", Layout(changed, "sample-rate", f"100 bands of {words}", near=near)


def layout_of(density: str) -> str:
    """Return the layout of a density, LAYOUT or LAYOUT:VARIATION."""
    return density.partition(":")[0]


def is_true(density: str) -> bool:
    """Return whether a density describes true mels."""
    return density.partition(":")[2] in ("", *VARIATIONS)


@dataclass(frozen=True)
class Encoding:
    """An encoding of mel values: its name, kind of fault (`Verdict.cause`), description, and how to undo it.

    `fields` are the mel config fields that produce it; None if no mel config can.
    """

    name: str
    cause: str
    words: str
    advice: str
    fields: dict[str, Any] | None = None


@cache
def encodings() -> Mapping[str, Encoding]:
    """Return all encodings by name, natural logarithms first."""
    decibel, low, high = LN10 / 20.0, *TORTOISE
    scale, shift = (high - low) / 2.0, (high + low) / 2.0
    by_twenty = f"multiply by ln(10) / 20 = {decibel:.6f}"
    undo = "undo the map to get decibels ({}), then convert to natural logarithms"
    reference, relative = "decibels with a reference of 20 dB", "decibels relative to the loudest value"
    unit, symmetric = "decibels mapped from -80..20 to 0..1", "decibels mapped from -80..20 to -4..4"
    bounded = f"natural logarithms mapped from {low:.2f}..{high:.2f} to -1..1"
    absolute = "use a fixed reference such as ref=1.0, because these values lose the level of the speech"
    normalised = "values normalised by mean and deviation per band or overall"
    db20, db20_20 = {"log": "db20"}, {"log": "db20", "ref_db": 20.0}
    mapped = {**db20_20, "range_db": 100.0}
    to_four = {**mapped, "range_low": -4.0, "range_high": 4.0}
    all_encodings = (
        Encoding(PLAIN, "typical", "natural logarithms", "", {}),
        Encoding("log10", "log10", "decimal logarithms", f"multiply by ln(10) = {LN10:.6f}", {"log": "log10"}),
        Encoding("db20", "decibels", "decibels", by_twenty, db20),
        Encoding("db20-20", "decibels", reference, f"add 20 and {by_twenty}", db20_20),
        Encoding(DB10, "decibels", "decibels of power", by_twenty, {"log": DB10}),
        Encoding("unit", "normalised", unit, undo.format("100 y - 80"), mapped),
        Encoding("symmetric", "symmetric", symmetric, undo.format("12.5 y - 30"), to_four),
        Encoding("tortoise", "normalised", bounded, f"take {scale:.4f} y - {-shift:.4f}"),
        Encoding("negated", "negated", "negated natural logarithms", "multiply by -1"),
        Encoding(LOUDEST, "decibels", relative, absolute),
        Encoding(STATISTICS, STATISTICS, normalised, "multiply by the deviation and add the mean"),
        Encoding("linear", "no-logarithm", "linear values without a logarithm", "take ln(max(y, 1e-5))"),
        Encoding("flipped", "upside-down", "bands in reverse order, the highest first", "reverse the bands"),
        Encoding(TRANSPOSED, TRANSPOSED, "a transposed mel, with bands as columns", "send (n_mels, frames)"),
    )
    return MappingProxyType({encoding.name: encoding for encoding in all_encodings})


def encoding_of(config: MelConfig) -> str | None:
    """Return the name of the encoding of a mel config, or None if it is unknown."""
    if config.mean is not None:
        return STATISTICS
    own = {name: getattr(config, name) for name in NATURAL}
    return next((name for name, e in encodings().items() if e.fields is not None and NATURAL | e.fields == own), None)


@dataclass(frozen=True)
class Convention:
    """A layout and an encoding, by name."""

    layout: str
    encoding: str

    @cached_property
    def preset(self) -> str | None:
        """The preset with this convention, or None."""
        return next((name for name, config in PRESETS.items() if convention_of(config) == self), None)

    @property
    def mel_config(self) -> MelConfig | None:
        """The mel config of this convention, or None."""
        if self.preset is not None:
            return PRESETS[self.preset]
        layout, encoding = layouts().get(self.layout), encodings()[self.encoding]
        if layout is None or layout.preset is None or encoding.fields is None:
            return None
        if encoding.cause == "decibels" and layout.mel_config.n_mels == layouts()[POWER].mel_config.n_mels:
            return None  # little but the level of the speech tells magnitudes from powers
        name = f"{layout.preset} in {encoding.words}"
        return dataclasses.replace(PRESETS[layout.preset], name=name, **{**NATURAL, **encoding.fields})

    @property
    def words(self) -> str:
        """Description for messages."""
        if self.preset is not None:
            return f"the {' or '.join((self.preset, *indistinguishable(PRESETS[self.preset])))} preset"
        if self.layout in (SHUFFLED, NOT_SPEECH):
            return {SHUFFLED: "frames in another order", NOT_SPEECH: "no speech"}[self.layout]
        if self.layout == ANY:
            return encodings()[self.encoding].words
        words = layouts()[self.layout].words
        return words if self.encoding == PLAIN else f"{encodings()[self.encoding].words} with {words}"


@lru_cache(maxsize=64)
def convention_of(config: MelConfig) -> Convention | None:
    """Return the convention of a mel config, or None if it is unknown."""
    wanted, encoding = _layout_fields(config), encoding_of(plain(config) if config.scaled else config)
    layout = next((name for name, one in layouts().items() if _layout_fields(one.mel_config) == wanted), None)
    return None if layout is None or encoding is None else Convention(layout, encoding)


def indistinguishable(config: MelConfig) -> list[str]:
    """Return the other presets, with values of the same scale, that the recogniser cannot tell from a mel config."""
    convention = convention_of(config)
    if convention is None:
        return []
    others = [other for other in PRESETS.values() if other.name != config.name and other.scaled == config.scaled]
    like = layouts()[convention.layout].like
    return [other.name for other in others if convention_of(other) == convention or other.name == like]
