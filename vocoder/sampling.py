"""The options of one synthesis, shared by the Python API, the commands, bulk runs and the server."""

import operator
from contextlib import suppress
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from reprlib import repr as short
from secrets import randbelow
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from vocoder.config import MAX_CORRECTIONS
from vocoder.mel.config import MelConfig

Preset = str | Path | MelConfig | None
"""a mel config: a preset's name, a file or a `MelConfig`; "auto" recognises it, None is the model's own"""
AdaptMode = Literal["on", "off"]
"""whether an adapter may be used if there is no exact conversion"""
Device = str | torch.device
"""where a model runs: "cpu", "cuda", ..."""
GuardMode = Literal["warn", "strict", "off"]
"""for a mel that is not typical: synthesize it with a warning, refuse it, or do not check"""

SAMPLING_FIELDS = ("sigma", "seed", "denoise", "corrections", "sharpen")
"""the fields of a `Sampling` that concern the model, not how the mel was made"""
MAX_SIGMA = 2
"""highest sampling temperature"""
MAX_SEED = 2**63 - 1
BLOCK_FRAMES = 32
"""frames drawn from one counter-based generator; never change it, since it determines the noise of a seed"""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How to synthesize one mel; raises a ValueError if a number is out of range."""

    sigma: float | None = None
    """sampling temperature; if None, the model's own"""
    seed: int | None = None
    """seed of the noise; if None, random"""
    denoise: float = 0.0
    """strength of the bias removal, 0 to 1"""
    corrections: int | None = None
    """number of corrections of the audio towards its mel; if None, the model's own"""
    sharpen: float | None = None
    """how far to raise the contrast of the mel, 0 to 1; if None, as far as the mel lacks texture"""
    preset: Preset = None
    """the mel config that the mel was made with; if None, the model's own"""
    adapt: AdaptMode = "on"
    """whether an adapter may be used: "off" refuses mels that need one"""

    def __post_init__(self) -> None:
        for name, most in {"sigma": MAX_SIGMA, "denoise": 1, "sharpen": 1}.items():
            value, optional = getattr(self, name), name != "denoise"
            if value is None and optional:
                continue
            number = isinstance(value, Real) and not isinstance(value, bool)
            if not (number and 0 <= value <= most):
                wanted = f"a number from 0 to {most}" + (", or left out" if optional else "")
                raise ValueError(f"{name} must be {wanted}, not {short(value)}")
            object.__setattr__(self, name, float(value))
        for name, most in {"seed": MAX_SEED, "corrections": MAX_CORRECTIONS}.items():
            if (given := getattr(self, name)) is not None:
                object.__setattr__(self, name, whole_number(name, given, most))

    def seeded(self) -> "Sampling":
        """Return the same options with a seed, drawn at random if there is none."""
        return self if self.seed is not None else replace(self, seed=randbelow(2**32))

    def seeds(self, count: int) -> list[int]:
        """Return a seed for each item of a batch: consecutive ones from `seed`, or random ones."""
        if self.seed is None:
            return [int(value) for value in torch.randint(0, 2**31, (count,))]
        return [whole_number("seed", self.seed + i, MAX_SEED) for i in range(count)]


@dataclass(frozen=True, eq=False)
class Utterance(Sampling):
    """One mel (n_mels, frames), a tensor, an array or an `Admitted`, and how to synthesize it."""

    mel: Any

    @property
    def frames(self) -> int:
        """Number of frames of the mel."""
        return int(self.mel.shape[1])


def guard_mode(mode: GuardMode) -> GuardMode:
    """Return a guard mode; raises a ValueError if it is unknown."""
    if mode not in get_args(GuardMode):
        raise ValueError(f"guard must be one of {', '.join(get_args(GuardMode))}, not {mode!r}")
    return mode


def sampling_fields(choice: Any) -> dict[str, Any]:
    """Return the `SAMPLING_FIELDS` of a `Sampling` or a similar object as keyword arguments."""
    return {name: getattr(choice, name) for name in SAMPLING_FIELDS}


def whole_number(name: str, value: Any, most: int, least: int = 0) -> int:
    """Return a whole number of any type as an int, which cannot overflow; raises a ValueError if it is out of range."""
    with suppress(TypeError):
        if not isinstance(value, bool) and least <= operator.index(value) <= most:
            return operator.index(value)
    raise ValueError(f"{name} must be a whole number from {least} to {most}, not {value!r}")


def white_noise(seed: int, start: int, frames: int, channels: int, steps_per_frame: int = 1) -> Tensor:
    """Return standard normal noise (channels, frames * steps_per_frame) for frames from `start`, float32 on the CPU.

    The noise of a frame depends only on the seed and the frame's position, so an utterance gets the same noise in
    chunks, in a batch, at once and on any device.
    """
    seed = whole_number("seed", seed, MAX_SEED)
    if start < 0 or frames < 0:
        raise ValueError(f"start and frames must be 0 or more, not {start} and {frames}")
    first, size = start // BLOCK_FRAMES, BLOCK_FRAMES * steps_per_frame
    offset, stop = (each * steps_per_frame - first * size for each in (start, start + frames))
    drawn = np.empty((stop, channels), np.float32)
    for block, begin in enumerate(range(0, stop, size), start=first):
        out = drawn[begin : begin + size]
        np.random.Generator(np.random.Philox(key=[seed, block])).standard_normal(dtype=np.float32, out=out)
    return torch.from_numpy(drawn[offset:]).T
