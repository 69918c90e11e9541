"""The flows of each density model: every system is a few lines over the bijections."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from vocoder.flows.actnorm import ActNorm
from vocoder.flows.autoregressive import Autoregressive
from vocoder.flows.base import Flow
from vocoder.flows.coupling import AdditiveCoupling, AffineCoupling
from vocoder.flows.early_output import EarlyOutput
from vocoder.flows.elementwise import ElementwiseAffine
from vocoder.flows.graph import layered
from vocoder.flows.lower_affine import LowerAffine
from vocoder.flows.masked_coupling import MaskedCoupling, channel_mask, checkerboard
from vocoder.flows.mixture_cdf import MixtureCDF
from vocoder.flows.permutation import Permutation, reversal, shuffle, swap_order
from vocoder.flows.plu import PLUConv1x1
from vocoder.flows.sequential import Inverse, Sequential
from vocoder.flows.squeeze import Squeeze
from vocoder.layers.mlp import MLP
from vocoder.layers.pixel_net import PixelNet
from vocoder.models.density_config import DensityConfig, Kind

__all__ = ["image_flows", "vector_flows", "whitening"]


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
