"""What the guard can tell apart: bands, powers, hops and rates that mels are computed with, as natural logarithms."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

from vocoder.mel.config import MelConfig, preset

__all__ = ["SHUFFLED", "TRUE", "VARIATIONS", "Layout", "is_true", "layout_of", "layouts"]

TRUE = "nvidia"
"""the layout of true mels"""
VARIATIONS = ("time", "bands", "both", "noisy")
"""how acoustic models vary true mels: smoothed along time, bands or both, or rough"""
SHUFFLED = "shuffled"
"""frames in random order"""
POWER_FLOOR = 1e-10
"""of what the densities of powers are fitted to: the square of that of magnitudes"""


@dataclass(frozen=True)
class Layout:
    """A way to compute mels up to the logarithm, which no conversion turns into another.

    Attributes:
        mel_config: as natural logarithms, whatever those who use it take.
        cause: the kind of fault, for programs.
        words: what it is, for people.
        preset: the named preset with these bands, if there is one.
    """

    mel_config: MelConfig
    cause: str
    words: str
    preset: str | None = None

    @property
    def floor(self) -> float:
        """The smallest value."""
        return math.log(self.mel_config.floor)


def layouts() -> Mapping[str, Layout]:
    """Return all layouts by name, that of true mels first."""
    found = {
        TRUE: Layout(_like(), "typical", "the bands of the nvidia preset (0 to 8000 Hz)", "nvidia"),
        "nemo": Layout(_like(f_max=11025.0), "bands", "bands from 0 to 11025 Hz, half the sample rate", "nemo"),
        "espnet": _preset("espnet"),
        "r9y9": _preset("r9y9"),
        "power": Layout(_like(power=2.0, floor=POWER_FLOOR), "power", "sums of powers instead of magnitudes"),
        "clarinet": Layout(
            _like(power=2.0, f_min=125.0, f_max=7600.0, floor=POWER_FLOOR),
            "power",
            "sums of powers instead of magnitudes, in the bands of the clarinet preset (125 to 7600 Hz)",
            "clarinet",
        ),
    }
    found |= {f"hop{hop}": Layout(_like(hop_length=hop), "hop", f"a hop near {hop} samples") for hop in (128, 512)}
    for rate in (16000, 24000, 44100):
        words = f"audio of a sample rate near {rate} Hz"
        found[f"rate{rate // 1000}"] = Layout(_like(sample_rate=rate), "sample-rate", words)
    return found


def layout_of(density: str) -> str:
    """Return the layout of a density, LAYOUT or LAYOUT:VARIATION."""
    return density.partition(":")[0]


def is_true(density: str) -> bool:
    """Whether mels of a density are as they should be."""
    name, _, variation = density.partition(":")
    return name == TRUE and variation in ("", *VARIATIONS)


def _like(**changes: float) -> MelConfig:
    return dataclasses.replace(preset("nvidia"), name="guard", **changes)  # type: ignore[arg-type]


def _preset(name: str) -> Layout:
    config = preset(name)
    words = f"the bands of the {name} preset ({config.f_min:g} to {config.f_max:g} Hz)"
    return Layout(_like(f_min=config.f_min, f_max=config.f_max), "bands", words, name)
