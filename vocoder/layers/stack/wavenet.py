"""The gated WaveNet stack that teacher, student and couplings share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from vocoder.config import ConfigError
from vocoder.layers.stack.fused import FusedStack, fused_stack
from vocoder.layers.stack.gate import available
from vocoder.layers.stack.matrix import watched
from vocoder.layers.stack.reference import reference_stack
from vocoder.layers.stack.stepping import StepWeights, as_matrix
from vocoder.layers.stack.weights import KeptWeights, Pair, StackWeights

__all__ = ["WaveNetConfig", "WaveNetStack", "set_compute_dtype", "set_recompute"]


@dataclass(frozen=True)
class WaveNetConfig:
    """Shape of a gated stack of dilated convolutions."""

    channels: int = 256
    """residual and skip channels"""
    dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128)
    """dilation of each layer, in steps"""
    kernel_size: int = 3
    causal: bool = False

    def __post_init__(self) -> None:
        if self.channels < 1 or not self.dilations or min(self.dilations) < 1:
            raise ConfigError("a WaveNet stack needs at least one channel and one layer with positive dilations")
        if self.kernel_size < 1 or (not self.causal and self.kernel_size % 2 == 0):
            raise ConfigError(f"a kernel of a non-causal stack must be odd and positive, not {self.kernel_size}")

    @property
    def context(self) -> tuple[int, int]:
        """Number of steps before and after a step that its output depends on."""
        reach = (self.kernel_size - 1) * sum(self.dilations)
        return (reach, 0) if self.causal else (reach // 2, reach // 2)


class WaveNetStack(nn.Module):
    """Dilated convolutions with tanh-sigmoid gates, residual and skip sums (WaveNet, section 2.3; WaveGlow's WN).

    The last projection is zero at first, so that a coupling starts as the identity. The condition enters at its own,
    slower rate and is broadcast over the steps of each of its frames. On CPUs, in float32 and bfloat16, it runs fused:
    matrix products and one compiled pass for the rest; elsewhere, and where it is traced, in plain operations. Both
    are the same function to rounding.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        cond_channels: channels of the condition; 0 for none.
        config: shape of the stack.
    """

    def __init__(self, in_channels: int, out_channels: int, cond_channels: int, config: WaveNetConfig) -> None:
        super().__init__()
        channels, layers = config.channels, len(config.dilations)
        self.config = config
        self.compute_dtype: torch.dtype | None = None
        self.fused = True
        self.recompute = False
        self._kept = KeptWeights(config.dilations, config.causal)
        self.start = nn.Conv2d(in_channels, channels, 1)
        self.cond_layer = nn.Conv2d(cond_channels, 2 * channels * layers, 1) if cond_channels else None
        self.in_layers = nn.ModuleList(
            nn.Conv2d(channels, 2 * channels, (1, config.kernel_size), dilation=(1, dilation))
            for dilation in config.dilations
        )
        self.res_skip_layers = nn.ModuleList(
            nn.Conv2d(channels, 2 * channels if i < layers - 1 else channels, 1) for i in range(layers)
        )
        self.end = nn.Conv2d(channels, out_channels, 1)
        nn.init.zeros_(self.end.weight)
        nn.init.zeros_(self.end.bias)  # type: ignore[arg-type]
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor, cond: Tensor | None = None, gaps: Tensor | None = None) -> Tensor:
        """Map x (B, in_channels, T) and cond (B, cond_channels, frames) to (B, out_channels, T).

        Args:
            x: the input.
            cond: the condition.
            gaps: indices of the steps between utterances that stand one after another in `x`, without gradients and
                with B = 1. Every convolution sees zeros there, as beyond the ends of an utterance that stands alone.

        Raises:
            ValueError: T is not a multiple of the number of condition frames, or the condition is missing.
        """
        cond = self._checked(x, cond)
        weights, dtype, config = self.weights(), self.compute_dtype or self.start.weight.dtype, self.config
        flat = weights.flat()
        inputs = (x, *flat) if cond is None else (x, cond, *flat)
        graded = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs)
        if not (self.fused and _fusible(x, dtype)) or (graded and gaps is not None):
            return reference_stack(weights, config.dilations, config.causal, dtype, x, cond, gaps)
        if not graded:
            return fused_stack(self._kept.ready(weights, dtype, frozen=not self.training), x, cond, gaps)
        self._kept.drop()
        arguments = (config.dilations, config.causal, dtype, x, cond, *flat)
        y = _forgetful(*arguments) if self.recompute else FusedStack.apply(*arguments)  # type: ignore[no-untyped-call]
        assert isinstance(y, Tensor)
        return y

    def weights(self) -> StackWeights:
        """Return the weights of all convolutions."""
        dilated = tuple(_pair(layer) for layer in self.in_layers)
        res_skip = tuple(_pair(layer) for layer in self.res_skip_layers)
        cond = None if self.cond_layer is None else _pair(self.cond_layer)
        return StackWeights(_pair(self.start), _pair(self.end), cond, dilated, res_skip)

    def step_weights(self) -> StepWeights:
        """Return the matrices of one step.

        Raises:
            ValueError: the stack is not causal.
        """
        if not self.config.causal:
            raise ValueError("only a causal stack can go step by step")
        gates = tuple(as_matrix(layer)[0] for layer in self.in_layers)
        res_skip = tuple(as_matrix(layer) for layer in self.res_skip_layers)
        return StepWeights(
            self.config.dilations, as_matrix(self.start), False, gates, res_skip, None, as_matrix(self.end)
        )

    @torch.no_grad()
    def gate_shares(self, cond: Tensor | None, batch: int) -> Tensor:
        """Return what condition (B, cond_channels, positions) and biases add to the gates.

        (B, positions, layers, 2 * channels), computed in the dtype of the condition and given in that of the weights;
        one position where there is no condition.

        Raises:
            ValueError: the condition is missing, or there should be none.
        """
        if (self.cond_layer is None) != (cond is None):
            raise ValueError("a stack with condition channels needs its condition, and only such a stack")
        biases = torch.stack([layer.bias for layer in self.in_layers])  # type: ignore[misc]
        if cond is None or self.cond_layer is None:
            return biases.expand(batch, 1, -1, -1)
        weight, bias = (tensor.to(cond.dtype) for tensor in as_matrix(self.cond_layer))
        projected = F.linear(cond.transpose(1, 2), weight, bias)
        return (projected.reshape(*projected.shape[:2], *biases.shape) + biases).to(biases.dtype)

    def _checked(self, x: Tensor, cond: Tensor | None) -> Tensor | None:
        if self.cond_layer is None:
            return None
        if cond is None:
            raise ValueError("this stack needs its condition")
        if x.shape[2] % cond.shape[2]:
            raise ValueError(f"{x.shape[2]} steps are no multiple of {cond.shape[2]} condition frames")
        return cond


def set_compute_dtype(module: nn.Module, dtype: torch.dtype | None) -> None:
    """Let every stack inside `module` compute in `dtype`; `None` is the dtype of its weights."""
    for stack in module.modules():
        if hasattr(stack, "compute_dtype"):
            stack.compute_dtype = dtype  # type: ignore[assignment]


def set_recompute(module: nn.Module, recompute: bool) -> None:
    """Let every WaveNet stack inside `module` forget what it computes for the way back, and compute it again there."""
    for stack in module.modules():
        if isinstance(stack, WaveNetStack):
            stack.recompute = recompute


def _forgetful(*arguments: Any) -> Any:
    return checkpoint(FusedStack.apply, *arguments, use_reentrant=False, preserve_rng_state=False)


def _fusible(x: Tensor, dtype: torch.dtype) -> bool:
    """Return whether the fused code can stand in for plain operations."""
    return not watched(x) and x.numel() > 0 and available(dtype, x.device)


def _pair(layer: nn.Module) -> Pair:
    assert isinstance(layer, nn.Conv2d)
    assert layer.bias is not None
    return layer.weight, layer.bias
