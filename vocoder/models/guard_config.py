"""The configuration of the guard's densities."""

from __future__ import annotations

from dataclasses import dataclass

from vocoder.config import ConfigError

__all__ = ["GuardConfig"]


@dataclass(frozen=True)
class GuardConfig:
    """Gaussian densities of windows of mels, one for each convention that a mel may be of.

    Raises:
        ConfigError: a value is out of range.
    """

    densities: tuple[str, ...] = ("nvidia",)
    """what each is of: a layout of `vocoder.guard.layouts`, or LAYOUT:VARIATION; the first is of true mels"""
    n_mels: int = 80
    offsets: tuple[int, ...] = (0, 1, 2)
    """frames of a window, counted from its first"""
    windows: int = 48
    """of a mel that are scored, spread evenly over it"""

    def __post_init__(self) -> None:
        if self.n_mels < 2 or self.windows < 1 or not self.densities:
            raise ConfigError(f"n_mels must be 2 or more, windows and densities at least one: {self}")
        if len(set(self.densities)) < len(self.densities):
            raise ConfigError(f"every density needs a name of its own, not {list(self.densities)}")
        if not self.offsets or self.offsets[0] != 0 or sorted(set(self.offsets)) != list(self.offsets):
            raise ConfigError(f"offsets must rise from 0, not {list(self.offsets)}")

    @property
    def span(self) -> int:
        """Frames from the first to the last of a window."""
        return self.offsets[-1] + 1

    @property
    def dimensions(self) -> int:
        """Numbers in a window."""
        return self.n_mels * len(self.offsets)
