"""The configuration of a density model of mels, digits or toy data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vocoder.config import ConfigError

__all__ = ["CLOSED_FORM", "DensityConfig", "Kind"]

Kind = Literal["gaussian", "elementwise", "cdf", "nice", "realnvp", "maf", "iaf", "glow"]
CLOSED_FORM = ("gaussian", "elementwise")
"""Kinds whose maximum likelihood is computed, not trained."""


@dataclass(frozen=True)
class DensityConfig:
    """Architecture of a density model of items (channels, frames): frames of a mel, patches of it, vectors, images.

    Raises:
        ConfigError: a value is out of range or does not fit the others.
    """

    kind: Kind = "maf"
    channels: int = 80
    """rows of an item: mel bins, rows of an image, or the length of a vector"""
    frames: int = 1
    """columns of an item: neighbouring mel frames, columns of an image"""
    image: bool = False
    """couplings by convolutions over the item as an image, in several scales; only realnvp and glow"""
    flows: int = 5
    """bijections with a network, in each scale if there are several"""
    hidden: tuple[int, ...] = (128, 128)
    """units of the hidden layers; for images channels of the residual blocks, all alike"""
    activation: Literal["elu", "relu"] = "elu"
    """of the networks of couplings of vectors"""
    levels: int = 2
    """scales of an image: each halves both sides, and all but the last give half of their channels out"""
    generations: int | None = None
    """of the graph of maf and iaf: numbers depend on all earlier generations, and a step of the slow direction takes a
    generation; none for a chain of single numbers, 2 for what a coupling does"""
    components: int = 8
    """of the mixtures of `cdf`"""
    whitening: Literal["none", "elementwise", "dense"] = "dense"
    """affine flow before all others, fitted to the training data in closed form and then left alone: with it a model
    starts as the Gaussian of greatest likelihood"""
    mixing: Literal["reversal", "swap", "shuffle", "linear"] = "reversal"
    """between the flows of a vector: channels in opposite order, even ones and odd ones taking turns (best for
    couplings, where neighbours are alike), in random order, or a learned matrix"""
    log_s_bound: float | None = 2.0
    """soft bound of the log-scales of couplings and autoregressive flows"""
    logit_alpha: float | None = None
    """for data in (0, 1): the margin of the logit that comes first; none for data on the real line"""
    seed: int = 0
    """of random orders"""

    def __post_init__(self) -> None:
        for name in ("channels", "frames", "flows", "levels", "components"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not self.hidden or min(self.hidden) < 1:
            raise ConfigError(f"hidden must list the units of one layer or more, not {list(self.hidden)}")
        if self.logit_alpha is not None and not 0 <= self.logit_alpha < 0.5:
            raise ConfigError(f"logit_alpha must lie in [0, 1/2), not {self.logit_alpha}")
        if self.log_s_bound is not None and self.log_s_bound <= 0:
            raise ConfigError(f"log_s_bound must be positive or left out, not {self.log_s_bound}")
        if self.dimensions < 2 and self.kind not in ("gaussian", "elementwise", "cdf"):
            raise ConfigError(f"{self.kind} needs items of two numbers or more")
        if self.generations is not None:
            self._check_generations(self.generations)
        if self.image:
            self._check_image()

    def _check_generations(self, count: int) -> None:
        if self.kind not in ("maf", "iaf"):
            raise ConfigError(f"generations are those of the graph of maf and iaf; leave them out for {self.kind}")
        if not 2 <= count <= self.dimensions:
            raise ConfigError(
                f"items of {self.dimensions} numbers have 2 to {self.dimensions} generations, not {count}"
            )

    def _check_image(self) -> None:
        if self.kind not in ("realnvp", "glow"):
            raise ConfigError(f"only realnvp and glow have couplings on images; set image: false for {self.kind}")
        if len(set(self.hidden)) > 1:
            raise ConfigError(f"the residual blocks of an image need equal channels, not {list(self.hidden)}")
        if self.channels % 2**self.levels or self.frames % 2**self.levels:
            raise ConfigError(
                f"{self.levels} scales need sides that are multiples of {2**self.levels}, "
                f"not {self.channels} x {self.frames}"
            )

    @property
    def dimensions(self) -> int:
        """Numbers in an item."""
        return self.channels * self.frames
