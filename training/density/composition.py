"""Flows composed of flows."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from vocoder.flows.base import Flow


class Sequential(Flow):
    """Compose flows: `forward` applies them first to last, `inverse` last to first; their log_dets add up."""

    def __init__(self, flows: Iterable[Flow]) -> None:
        super().__init__()
        self.flows = nn.ModuleList(flows)

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map data to noise through all flows."""
        log_det = x.new_zeros(x.shape[0])
        for flow in self.flows:
            x, step = flow(x, cond)
            log_det = log_det + step
        return x, log_det

    def inverse(self, z: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map noise to data through all flows, last to first."""
        return Sequential(map(Inverse, reversed(self.flows))).forward(z, cond)  # type: ignore[arg-type]


class Inverse(Flow):
    """The same bijection with its two directions exchanged."""

    def __init__(self, flow: Flow) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Apply the inverse of the wrapped flow."""
        return self.flow.inverse(x, cond)

    def inverse(self, z: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Apply the wrapped flow."""
        return self.flow.forward(z, cond)


class EarlyOutput(Flow):
    """Output the first `size` channels as noise and transform the others with `rest`.

    z = [x_early, rest(x_late)], so a chain lists early outputs in order. `log_det` is that of `rest`.
    """

    def __init__(self, size: int, rest: Flow) -> None:
        super().__init__()
        self.size = size
        self.rest = rest

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T)."""
        early, late = torch.split(x, [self.size, x.shape[1] - self.size], dim=1)
        z, log_det = self.rest(late, cond)
        return torch.cat([early, z], dim=1), log_det

    def inverse(self, z: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map (B, C, T) to (B, C, T)."""
        return EarlyOutput(self.size, Inverse(self.rest)).forward(z, cond)
