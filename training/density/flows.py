"""The flows of density models, the configuration that chooses them, and the closed form of the first one."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from training.density.autoregressive import Autoregressive, layered
from training.density.composition import EarlyOutput, Inverse, Sequential
from training.density.curves import MixtureCDF
from training.density.images import MaskedCoupling, Squeeze, channel_mask, checkerboard
from training.density.mixing import Permutation, PLUConv1x1, reversal
from training.density.networks import MLP, PixelNet
from vocoder.config import Checked, Count, Positive, Rules
from vocoder.flows.affine import ActNorm, ElementwiseAffine, LowerAffine
from vocoder.flows.base import Flow
from vocoder.flows.conv1x1 import swap_order
from vocoder.flows.coupling import AffineCoupling

Kind = Literal["gaussian", "elementwise", "cdf", "nice", "realnvp", "maf", "iaf", "glow"]
CLOSED_FORM = ("gaussian", "elementwise")  # kinds whose maximum likelihood has a closed form


@dataclass(frozen=True)
class DensityConfig(Checked):
    """Architecture of a density model of items (channels, frames): frames of a mel, patches of it, vectors, images."""

    kind: Kind = "maf"
    channels: Count = 80
    """rows of an item: mel bins, rows of an image, or the length of a vector"""
    frames: Count = 1
    """columns of an item: neighbouring mel frames, columns of an image"""
    image: bool = False
    """use convolutional couplings over the item as an image, at several scales; only for realnvp and glow"""
    flows: Count = 5
    """number of bijections with a network, per scale"""
    hidden: tuple[int, ...] = (128, 128)
    """units of the hidden layers; for images, channels of the residual blocks, all equal"""
    levels: Count = 2
    """scales of an image: each halves both sides, and all but the last output half of their channels"""
    generations: int | None = None
    """generations in the graph of maf and iaf: numbers depend on all earlier generations, and the slow direction takes
    a step per generation; null for a chain of single numbers, 2 for a coupling"""
    whitening: Literal["none", "elementwise", "dense"] = "dense"
    """affine flow before all others, fitted to the training data in closed form and then fixed, so that the model
    starts as the maximum-likelihood Gaussian"""
    mixing: Literal["reversal", "swap"] = "reversal"
    """between the flows of a vector: reversed channels, or even and odd channels in turn, which is best for couplings
    if neighbours are similar"""
    log_s_bound: Positive | None = 2.0
    """soft bound of the log-scales of couplings and autoregressive flows"""
    logit_alpha: float | None = None
    """for data in (0, 1): margin of the logit that comes first; null for data on the real line"""

    def _rules(self) -> Rules:
        side = 2**self.levels
        for right, message in (
            (self.hidden and min(self.hidden) > 0, "hidden must list the units of at least one layer"),
            (self.kind in (*CLOSED_FORM, "cdf") or self.dimensions > 1, "items need at least two numbers"),
            (self.generations is None or self.kind in ("maf", "iaf"), "generations are for maf and iaf only"),
            (2 <= (self.generations or 2) <= self.dimensions or self.kind not in ("maf", "iaf"),
             f"generations must be from 2 to the {self.dimensions} numbers of an item"),
            (not self.image or self.kind in ("realnvp", "glow"), "only realnvp and glow have couplings on images"),
            (not self.image or len(set(self.hidden)) == 1, "hidden layers for images must have equal channels"),
            (not self.image or self.channels % side == self.frames % side == 0,
             f"{self.levels} scales need sides that are multiples of {side}, not {self.channels} x {self.frames}"),
        ):  # fmt: skip
            yield bool(right), f"{self.kind}: {message}"

    @property
    def dimensions(self) -> int:
        """The number of values in an item."""
        return self.channels * self.frames


def learned_flows(config: DensityConfig) -> Iterator[Flow]:
    """Yield the flows of a model of vectors (B, D, 1) or images (B, 1, H * W), without whitening.

    Channels of vectors are swapped before each flow with a network, or reversed after it. NICE has one scaling at the
    end (section 3.3), because its couplings preserve volume.
    """
    if config.image:
        yield from _scales(config, config.channels, config.frames, 1, config.levels)
        return
    size = config.dimensions
    if config.kind == "cdf":
        yield MixtureCDF(size)
    for i in range(0 if config.kind in (*CLOSED_FORM, "cdf") else config.flows):
        if config.kind == "glow":
            yield from (ActNorm(size), PLUConv1x1(size), _with_network(config, size))
        elif config.mixing == "swap":
            yield from (Permutation(swap_order(size, i)), _with_network(config, size))
        else:
            yield from (_with_network(config, size), reversal(size))
    if config.kind == "nice":
        yield ElementwiseAffine(size)


def whitening(config: DensityConfig) -> LowerAffine | ElementwiseAffine | None:
    """Return the affine flow to fit in closed form, over vectors if dense and over rows if element-wise."""
    if config.kind == "elementwise":
        return ElementwiseAffine(config.dimensions)
    if config.kind == "gaussian" or config.whitening == "dense":
        return LowerAffine(config.dimensions)
    return ElementwiseAffine(config.channels) if config.whitening == "elementwise" else None


@torch.no_grad()
def fit_gaussian(flow: LowerAffine | ElementwiseAffine, x: Tensor) -> None:
    """Set a flow to the maximum-likelihood Gaussian of all time steps of signals x (B, C, T), in float64.

    Raises ValueError if the covariance is singular.
    """
    rows = x.transpose(1, 2).flatten(0, 1).to("cpu", torch.float64)
    mean = rows.mean(dim=0)
    scale = (rows - mean).square().mean(dim=0).sqrt()
    factor, failed = torch.diag(scale), torch.tensor(False)
    if isinstance(flow, LowerAffine):
        factor, failed = torch.linalg.cholesky_ex(torch.cov(rows.T, correction=0).reshape(len(mean), -1))
    spread = factor.diagonal()
    if bool(failed) or bool((spread <= 1e-7 * scale).any()):
        raise ValueError(
            "the covariance of the data is singular: a channel is constant or a combination of others, or there are "
            "fewer data than channels; add noise or data"
        )
    flow.t.copy_(mean[:, None])
    flow.log_scale.copy_(spread.log().view_as(flow.log_scale))
    if isinstance(flow, LowerAffine):
        matrix = torch.linalg.solve_triangular(factor, torch.eye(len(factor), dtype=factor.dtype), upper=False)
        flow.lower.copy_(matrix.tril(-1))


def _with_network(config: DensityConfig, size: int) -> Flow:
    if config.kind in ("maf", "iaf"):
        graph = layered(size, config.generations or size)
        flow = Autoregressive(graph, config.hidden, log_s_bound=config.log_s_bound)
        return flow if config.kind == "maf" else Inverse(flow)
    additive = config.kind == "nice"
    network = MLP(size - size // 2, (1 if additive else 2) * (size // 2), config.hidden)
    return AffineCoupling(network, config.log_s_bound, additive)


def _scales(config: DensityConfig, height: int, width: int, channels: int, levels: int) -> Iterator[Flow]:
    """Yield the flows of an image (B, C, H * W): this scale's, then those on half of the channels (RealNVP, 3.6).

    The last `Inverse(Squeeze)` of each scale puts the pixels back, so that the noise has the shape of the image.
    """
    if config.kind == "realnvp":
        for i in range(config.flows):
            network = PixelNet(channels, 2 * channels, (height, width), config.hidden)
            yield ActNorm(channels)
            yield MaskedCoupling(network, checkerboard(height, width, i % 2), config.log_s_bound)
    size, squeezed = (height // 2, width // 2), 4 * channels
    yield Squeeze(height, width)
    for i in range(config.flows):
        yield ActNorm(squeezed)
        if config.kind == "glow":
            yield PLUConv1x1(squeezed)
            yield AffineCoupling(PixelNet(squeezed // 2, squeezed, size, config.hidden), config.log_s_bound)
        else:
            network = PixelNet(squeezed, 2 * squeezed, size, config.hidden)
            yield MaskedCoupling(network, channel_mask(squeezed, i % 2), config.log_s_bound)
    if levels > 1:
        yield EarlyOutput(squeezed // 2, Sequential(_scales(config, *size, squeezed // 2, levels - 1)))
    yield Inverse(Squeeze(height, width))
