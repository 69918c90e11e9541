"""The gated WaveNet stack of teacher, student and couplings, and of published WaveNets."""

import torch
from torch import Tensor, nn

from vocoder.kernels.launcher import FLOATS, kernel, takes
from vocoder.layers.product import Kept
from vocoder.layers.stack.compiled import CompiledStack
from vocoder.layers.stack.plain import PlainStack
from vocoder.layers.stack.plain import PublishedStackConfig as PublishedStackConfig
from vocoder.layers.stack.plain import WaveNetConfig as WaveNetConfig


class WaveNetStack(PlainStack):
    """Dilated convolutions with tanh-sigmoid gates, residual and skip sums (WaveNet, section 2.3; WaveGlow's WN).

    The last projection starts at zero, so that a coupling starts as the identity. A condition, if it has channels,
    enters at its own, slower rate and is broadcast over the steps of each of its frames. With frozen weights on a CPU,
    in float32 or bfloat16, a `CompiledStack` computes the stack; `plain` is used for training, export and other
    devices. Both agree up to rounding.

    With a `PublishedStackConfig` there are two more layers on the sum of the skips, each after a ReLU (WaveNet, figure
    4). Its condition is projected layer by layer: it has the sample rate, and the projections of all layers would fill
    memory. Importers fold the scales that published code applies to residuals and skips into the weights. It is never
    compiled.
    """

    def __init__(
        self, in_channels: int, out_channels: int, cond_channels: int, config: WaveNetConfig | PublishedStackConfig
    ) -> None:
        super().__init__(in_channels, out_channels, cond_channels, config)
        self.compute_dtype: torch.dtype | None = None
        self._kept: Kept[CompiledStack] = Kept()

    def forward(self, x: Tensor, cond: Tensor | None = None, gaps: Tensor | None = None) -> Tensor:
        """Map x (B, in_channels, T) and cond (B, cond_channels, frames) to (B, out_channels, T).

        With B = 1 `x` may be a row of utterances, and `gaps` are the indices of the steps between them. The input of
        every convolution is zero there, as beyond the ends of a single utterance. Raises a ValueError if T is not a
        multiple of the number of condition frames, or if the condition is missing.
        """
        if cond is not None and x.shape[2] % cond.shape[2]:
            raise ValueError(f"{x.shape[2]} steps are not a multiple of {cond.shape[2]} condition frames")
        self.check_condition(cond)
        given, parameters = (x,) if cond is None else (x, cond), tuple(self.parameters())
        dtype = self.compute_dtype or parameters[0].dtype
        frozen = not any(parameter.requires_grad for parameter in parameters)
        fits = not self.published and dtype in FLOATS and x.is_cpu and x.numel() > 0
        compilable = frozen and fits and all(map(takes, given))
        run = kernel("gate", "gated", dtype) if compilable else None
        if run is not None:
            joined = cond is not None and cond.shape[2] == x.shape[2]
            made = self._kept.of(parameters, lambda: CompiledStack(run, self, dtype, joined), dtype, joined)
            return made(x, cond, gaps)
        if not frozen:
            self._kept.drop()
        return self.plain(dtype, x, cond, gaps)


def set_compute_dtype(module: nn.Module, dtype: torch.dtype | None) -> None:
    """Set the dtype in which every stack inside `module` computes; `None` is the dtype of its weights."""
    for stack in module.modules():
        if hasattr(stack, "compute_dtype"):
            stack.compute_dtype = dtype  # type: ignore[assignment]
