"""The flows of density models, and the configuration that chooses them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from training.density.autoregressive import Autoregressive, layered
from training.density.composition import EarlyOutput, Inverse, Sequential
from training.density.curves import MixtureCDF
from training.density.images import MaskedCoupling, Squeeze, channel_mask, checkerboard
from training.density.mixing import PLUConv1x1
from training.density.networks import MLP, PixelNet
from vocoder.config import ConfigError
from vocoder.flows.base import Flow
from vocoder.flows.coupling import AdditiveCoupling, AffineCoupling
from vocoder.flows.dense_affine import LowerAffine
from vocoder.flows.elementwise import ActNorm, ElementwiseAffine
from vocoder.flows.rearrangement import Permutation, reversal, shuffle, swap_order

__all__ = ["CLOSED_FORM", "DensityConfig", "Kind", "image_flows", "vector_flows", "whitening"]

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


def vector_flows(config: DensityConfig) -> list[Flow]:
    """Return the flows of a model of vectors (B, D, 1), whitening not included."""
    return list(_VECTORS[config.kind](config, config.dimensions))


def image_flows(config: DensityConfig) -> list[Flow]:
    """Return the flows of a model of images (B, 1, H * W), whitening not included."""
    return list(_scales(config, config.channels, config.frames, 1, config.levels))


def whitening(config: DensityConfig) -> LowerAffine | ElementwiseAffine | None:
    """Return the affine flow that is fitted in closed form, over vectors if dense and over rows if element-wise."""
    if config.kind == "gaussian" or (config.kind != "elementwise" and config.whitening == "dense"):
        return LowerAffine(config.dimensions)
    if config.kind == "elementwise":
        return ElementwiseAffine(config.dimensions)
    return ElementwiseAffine(config.channels) if config.whitening == "elementwise" else None


def _nothing(config: DensityConfig, size: int) -> Iterator[Flow]:
    """Yield no flow: Gaussians are all whitening."""
    yield from ()


def _cdf(config: DensityConfig, size: int) -> Iterator[Flow]:
    yield MixtureCDF(size, config.components)


def _nice(config: DensityConfig, size: int) -> Iterator[Flow]:
    """Yield additive couplings and, as they keep volume, one scaling at the end (NICE, section 3.3)."""
    networks = (_network(config, size, size // 2) for _ in range(config.flows))
    yield from _mixed(config, size, (AdditiveCoupling(network) for network in networks))
    yield ElementwiseAffine(size)


def _realnvp(config: DensityConfig, size: int) -> Iterator[Flow]:
    networks = (_network(config, size, 2 * (size // 2)) for _ in range(config.flows))
    yield from _mixed(config, size, (AffineCoupling(network, config.log_s_bound) for network in networks))


def _glow(config: DensityConfig, size: int) -> Iterator[Flow]:
    for _ in range(config.flows):
        yield ActNorm(size)
        yield PLUConv1x1(size)
        yield AffineCoupling(_network(config, size, 2 * (size // 2)), config.log_s_bound)


def _network(config: DensityConfig, size: int, outputs: int) -> MLP:
    return MLP(size - size // 2, outputs, config.hidden, activation=config.activation)


def _maf(config: DensityConfig, size: int) -> Iterator[Flow]:
    yield from _mixed(config, size, (_autoregressive(config, size) for _ in range(config.flows)))


def _iaf(config: DensityConfig, size: int) -> Iterator[Flow]:
    yield from _mixed(config, size, (Inverse(_autoregressive(config, size)) for _ in range(config.flows)))


def _autoregressive(config: DensityConfig, size: int) -> Autoregressive:
    graph = size if config.generations is None else layered(size, config.generations)
    return Autoregressive(graph, config.hidden, log_s_bound=config.log_s_bound)


def _mixed(config: DensityConfig, size: int, flows: Iterable[Flow]) -> Iterator[Flow]:
    """Yield flows with what mixes the channels: swaps before each of them, everything else after each."""
    for i, flow in enumerate(flows):
        if config.mixing == "swap":
            yield Permutation(swap_order(size, i))
        yield flow
        if config.mixing == "linear":
            yield PLUConv1x1(size)
        elif config.mixing != "swap":
            yield reversal(size) if config.mixing == "reversal" else shuffle(size, config.seed + i)


_VECTORS: Mapping[Kind, Callable[[DensityConfig, int], Iterator[Flow]]] = {
    "gaussian": _nothing,
    "elementwise": _nothing,
    "cdf": _cdf,
    "nice": _nice,
    "realnvp": _realnvp,
    "maf": _maf,
    "iaf": _iaf,
    "glow": _glow,
}


def _scales(config: DensityConfig, height: int, width: int, channels: int, levels: int) -> Iterator[Flow]:
    """Yield the flows of an image (B, C, H * W): those of this scale, then half of the channels leave (RealNVP, 3.6).

    The last `Inverse(Squeeze)` of each scale puts the pixels back, so that the noise has the shape of the image.
    """
    if config.kind == "realnvp":
        yield from _checkerboards(config, height, width, channels)
    squeezed = 4 * channels
    size = (height // 2, width // 2)
    yield Squeeze(height, width)
    yield from (_glow_steps if config.kind == "glow" else _channel_couplings)(config, size, squeezed)
    if levels > 1:
        rest = _scales(config, *size, squeezed // 2, levels - 1)
        yield EarlyOutput(squeezed - squeezed // 2, Sequential(rest))
    yield Inverse(Squeeze(height, width))


def _checkerboards(config: DensityConfig, height: int, width: int, channels: int) -> Iterator[Flow]:
    for i in range(config.flows):
        yield ActNorm(channels)
        network = PixelNet(channels, 2 * channels, (height, width), config.hidden[0], len(config.hidden))
        yield MaskedCoupling(network, checkerboard(height, width, i % 2), config.log_s_bound)


def _channel_couplings(config: DensityConfig, size: tuple[int, int], channels: int) -> Iterator[Flow]:
    for i in range(config.flows):
        yield ActNorm(channels)
        network = PixelNet(channels, 2 * channels, size, config.hidden[0], len(config.hidden))
        yield MaskedCoupling(network, channel_mask(channels, i % 2), config.log_s_bound)


def _glow_steps(config: DensityConfig, size: tuple[int, int], channels: int) -> Iterator[Flow]:
    half = channels // 2
    for _ in range(config.flows):
        yield ActNorm(channels)
        yield PLUConv1x1(channels)
        network = PixelNet(channels - half, 2 * half, size, config.hidden[0], len(config.hidden))
        yield AffineCoupling(network, config.log_s_bound)
