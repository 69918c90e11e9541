"""Which data a density model is trained on and scored on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from torch import Tensor

from training.corpora.manifest import Manifest
from training.density.items.digits import Digits
from training.density.items.mels import MelWindowConfig, MelWindows
from training.density.items.toys import Points, toys
from vocoder.config import ConfigError
from vocoder.mel.config import MelConfig

__all__ = ["TOYS", "DataConfig", "Items", "items_of"]

Source = Literal["mels", "digits", "eight", "moons", "rings", "checkerboard", "pinwheel"]
TOYS = ("eight", "moons", "rings", "checkerboard", "pinwheel")
HELD_OUT_SEED = 1_000_003


class Items(Protocol):
    """An epoch of items `{"x": (channels, frames)}`, quantised to `levels` before noise was added, or 0."""

    levels: int

    def __len__(self) -> int:
        """Return the number of items of an epoch."""

    def __getitem__(self, index: int, /) -> dict[str, Tensor]:
        """Return one item."""

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the following items belong to."""


@dataclass(frozen=True)
class DataConfig:
    """What the items are, and how many there are.

    Raises:
        ConfigError: a value is out of range.
    """

    source: Source = "mels"
    """windows of the mels of a corpus, scikit-learn's digits, or a distribution of points of the plane"""
    mels: MelWindowConfig = field(default_factory=MelWindowConfig)
    items: int = 65536
    """in an epoch; all 1000 where they are digits"""
    held_out: int = 4096
    """that validation sees, of recordings that training does not; 350 where they are digits"""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.items < 1 or self.held_out < 1 or self.seed < 0:
            raise ConfigError(f"items and held_out must be at least 1 and seed not negative: {self}")

    @property
    def shape(self) -> tuple[int, int] | None:
        """Shape of an item, or None where the mel config and the model decide."""
        if self.source == "mels":
            return None
        return (8, 8) if self.source == "digits" else (2, 1)


def items_of(
    config: DataConfig, frames: int, mel_config: MelConfig, manifest: Manifest | None, held_out: bool
) -> Items:
    """Return the items to train on, or those held out: the test split of voices that are trained on.

    Args:
        config: what they are.
        frames: of a window of mels.
        mel_config: contract of the mels.
        manifest: the corpus; not needed for digits and toys.
        held_out: what for.
    """
    if config.source == "digits":
        return Digits("validation" if held_out else "train", config.seed)
    count = config.held_out if held_out else config.items
    seed = config.seed + HELD_OUT_SEED * held_out
    if config.source != "mels":
        return Points(toys()[config.source], count, seed)
    if manifest is None:
        raise ConfigError("mels need a manifest")
    split, speakers = ("test", manifest.trained_speakers) if held_out else ("train", None)
    return MelWindows(manifest, split, mel_config, frames, count, config.mels, seed, speakers)  # type: ignore[arg-type]
