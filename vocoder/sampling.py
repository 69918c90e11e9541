"""What a caller may choose about one synthesis, in one place for Python and the server."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from secrets import randbelow
from typing import Any, Literal

from vocoder.mel.config import MelConfig

__all__ = ["Sampling", "voice_of"]

VOICE = ("sigma", "seed", "denoise", "corrections")


@dataclass(frozen=True)
class Sampling:
    """How to synthesize one mel.

    Attributes:
        sigma: sampling temperature; the model's own if None.
        seed: of the noise; random if None.
        denoise: strength of the bias removal, 0 to 1.
        corrections: how often the audio is corrected towards its mel; the model's own number if None.
        preset: the mel config that the mel was made with; the model's own if None.
        adapt: "off" refuses mels that need an adapter.
    """

    sigma: float | None = None
    seed: int | None = None
    denoise: float = 0.0
    corrections: int | None = None
    preset: str | Path | MelConfig | None = None
    adapt: Literal["on", "off"] = "on"

    def seeded(self) -> Sampling:
        """Return the same choice with a seed, drawn where there is none."""
        return self if self.seed is not None else replace(self, seed=randbelow(2**32))


def voice_of(choice: Any) -> dict[str, Any]:
    """Return the fields of a `Sampling`, or of anything like it, that `synthesize` takes for the model's own mels."""
    return {name: getattr(choice, name) for name in VOICE}
