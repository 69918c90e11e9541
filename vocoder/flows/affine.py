"""Affine flows: triangular, for Gaussians with any covariance, and element-wise, with free or predicted parameters."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.distributions import soft_floor
from vocoder.flows.base import Flow, over_time
from vocoder.layers.product import FrameConv

WEIGHT_SCALE = 0.1  # the regression's weights are stored divided by this


class LowerAffine(Flow):
    """Map each time step by z = L (x - t), `log_det` = -T * sum(log_scale).

    L is lower-triangular with the diagonal exp(-log_scale). With normal noise this covers all Gaussians: L^-1 is the
    Cholesky factor of the covariance and `t` the mean. Row by row it is also a linear autoregressive flow: channel i
    minus its best linear prediction from earlier channels, divided by the standard deviation of the error.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.lower = nn.Parameter(torch.zeros(channels, channels))
        self.log_scale = nn.Parameter(torch.zeros(channels))
        self.t = nn.Parameter(torch.zeros(channels, 1))

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T)."""
        z = F.linear((x - self.t).transpose(1, 2), self.matrix()).transpose(1, 2)
        return z, -over_time(self.log_scale.sum(), x)

    def inverse(self, z: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T) by one triangular solve."""
        x = torch.linalg.solve_triangular(self.matrix(), z, upper=False) + self.t
        return x, over_time(self.log_scale.sum(), z)

    def matrix(self) -> Tensor:
        """Return L (C, C)."""
        return self.lower.tril(-1) + torch.diag(torch.exp(-self.log_scale))


class ElementwiseAffine(Flow):
    """Scale and shift each channel: z = (x - t) * exp(-log_scale), for data of mean t and deviation exp(log_scale)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(channels, 1))
        self.t = nn.Parameter(torch.zeros(channels, 1))

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T)."""
        return (x - self.t) * torch.exp(-self.log_scale), -over_time(self.log_scale.sum(), x)

    def inverse(self, z: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T)."""
        return z * torch.exp(self.log_scale) + self.t, over_time(self.log_scale.sum(), z)


class ActNorm(ElementwiseAffine):
    """Element-wise affine flow that initialises scale and shift from the first training batch.

    For that batch each channel of `z` has mean 0 and standard deviation 1; afterwards the parameters are trained like
    any others. A buffer records the initialisation, so that a loaded model is not initialised again.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.initialised = nn.Buffer(torch.tensor(False))

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T), initialising from `x` if this is the first training batch."""
        if self.training and not self.initialised:
            with torch.no_grad():
                std, mean = torch.std_mean(x, dim=(0, 2), correction=0)
                self.t.copy_(mean[:, None])
                self.log_scale.copy_(torch.log(std + 1e-6)[:, None])
                self.initialised.fill_(True)
        return super().forward(x)


class ConditionalAffine(Flow):
    """Scale and shift each element by a convolution of the condition: z = x * exp(-log_scale) - t.

    The shift is in units of the scale: in a nearly silent band the first step of an optimiser would otherwise move it
    by many standard deviations.

    `log_det` = -sum(log_scale). The condition (B, cond_channels, frames) is repeated to the T steps of the signal. Its
    convolution is linear, so that least squares can initialise it from data: with the mel as condition it starts as the
    regression of each band's log-energy on the mel. Its weights are stored ten times too large: hundreds of inputs
    affect each log-scale, and an optimiser that moves all of them by its learning rate at once would overshoot.
    `log_s_floor` is a soft lower bound of `log_scale`, the logarithm of the weakest noise in the data.
    """

    kernel_size = 3  # steps of the condition per element

    def __init__(self, channels: int, cond_channels: int, log_s_floor: float | None = None) -> None:
        super().__init__()
        self.channels, self.log_s_floor = channels, log_s_floor
        self.projection = FrameConv(cond_channels, 2 * channels, self.kernel_size, precise=True)
        nn.init.zeros_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T)."""
        t, log_scale = self.shift_and_log_scale(x, cond)
        return x * torch.exp(-log_scale) - t, -log_scale.sum(dim=(1, 2))

    def inverse(self, z: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T)."""
        t, log_scale = self.shift_and_log_scale(z, cond)
        return (z + t) * torch.exp(log_scale), log_scale.sum(dim=(1, 2))

    @torch.no_grad()
    def set_log_scale(self, weight: Tensor, bias: Tensor) -> None:
        """Set the regression of `log_scale`: weight (C, cond_channels, kernel_size), bias (C,); the shift becomes 0."""
        self.projection.weight.zero_()[self.channels :].copy_(weight / WEIGHT_SCALE)
        self.projection.bias.zero_()[self.channels :].copy_(bias / WEIGHT_SCALE)

    def shift_and_log_scale(self, x: Tensor, cond: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return t, in units of the scale, and log_scale for a signal x, all (B, C, T)."""
        assert cond is not None
        return self.parts(self.projection(cond.repeat_interleave(x.shape[2] // cond.shape[2], dim=2)))

    def parts(self, projected: Tensor) -> tuple[Tensor, Tensor]:
        """Split the convolved condition (B, 2 * C, T) into t and log_scale, both (B, C, T)."""
        t, log_scale = (WEIGHT_SCALE * projected).chunk(2, dim=1)
        return t, soft_floor(log_scale, self.log_s_floor)
