"""Weights made ready for the fused stack once, as long as they stay the same."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from vocoder.layers.stack.packed import PackedStack
from vocoder.layers.stack.ready import ReadyStack
from vocoder.layers.stack.weights import StackWeights

__all__ = ["KeptWeights"]


class _Kept(NamedTuple):
    """What was made ready, and from what."""

    dtype: torch.dtype
    versions: tuple[tuple[int, int], ...]
    biases: Tensor
    ready: ReadyStack


class KeptWeights:
    """The weights of one stack in the form in which `fused_stack` takes them.

    They are kept for weights that take no gradient, until one is replaced or changed. Fused optimisers change a
    weight without a new version of it, but never without changing a bias, so that the biases are compared by value.

    Args:
        dilations: of the stack.
        causal: whether it is.
    """

    def __init__(self, dilations: tuple[int, ...], causal: bool) -> None:
        self._dilations = dilations
        self._causal = causal
        self._kept: _Kept | None = None

    def ready(self, weights: StackWeights, dtype: torch.dtype, frozen: bool) -> ReadyStack:
        """Return the weights, kept if `frozen`."""
        flat = weights.flat()
        if not frozen or any(tensor.requires_grad for tensor in flat):
            self._kept = None
            return self._made(weights, dtype, kept=False)
        versions = tuple((tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version) for tensor in flat)
        biases = torch.cat([tensor.detach() for tensor in flat[1::2]])
        kept = self._kept
        if kept is None or (kept.dtype, kept.versions) != (dtype, versions) or not torch.equal(kept.biases, biases):
            kept = self._kept = _Kept(dtype, versions, biases, self._made(weights, dtype, kept=True))
        return kept.ready

    def drop(self) -> None:
        """Forget them."""
        self._kept = None

    def _made(self, weights: StackWeights, dtype: torch.dtype, kept: bool) -> ReadyStack:
        return ReadyStack.of(PackedStack.of(weights, self._dilations, self._causal, dtype), kept)
