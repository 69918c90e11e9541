"""A causal filter with the spectral envelope implied by the condition, as a flow."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.distributions import soft_floor
from vocoder.flows.base import Flow

WEIGHT_SCALE = 0.1  # weights are stored divided by this, so that an optimiser's equal steps move them less
OVERSAMPLING = 4


class MinimumPhaseFilter(Flow):
    """Filters noise to data with a minimum-phase response that changes from frame to frame: x_t = sum_k h_k(t) z_{t-k}.

    A linear map of the condition (B, cond_channels, frames) gives the log-amplitudes of taps / 2 + 1 bands from 0 Hz to
    half the sample rate, with the soft lower bound `log_s_floor`; the folded cepstrum makes the response minimum-phase
    (Oppenheim and Schafer, "Discrete-Time Signal Processing", section 13.5.4); between frames responses are
    interpolated linearly. h depends on the condition alone and h_0 > 0, so this is an affine inverse autoregressive
    flow with log|det dx / dz| = sum(log h_0). Even untrained, it gives white noise the envelope of speech.
    """

    kernel_size = 3  # frames of the condition per response

    def __init__(self, cond_channels: int, taps: int, hop_length: int, log_s_floor: float | None = None) -> None:
        super().__init__()
        self.taps, self.hop_length, self.log_s_floor = taps, hop_length, log_s_floor
        self.bands = taps // 2 + 1
        """number of frequencies, equally spaced from 0 Hz to half the sample rate, ends included"""
        self.projection = nn.Conv1d(cond_channels, self.bands, self.kernel_size, padding=self.kernel_size // 2)
        nn.init.zeros_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map data (B, 1, T) to noise, frame by frame, with a triangular solve that uses the noise before the frame."""
        responses = self.responses(cond)
        log_h0 = self._mixed(responses[..., :1])[..., 0].log()
        time = torch.arange(1 - self.taps, self.hop_length, device=x.device)
        lag = time[self.taps - 1 :, None] - time
        inside = (lag >= 0) & (lag < self.taps)
        z = x.new_zeros(x.shape[0], self.taps - 1 + x.shape[2])
        for frame in range(x.shape[2] // self.hop_length):
            start = frame * self.hop_length
            h = self._mixed(responses[:, frame : frame + 2])[:, 0]
            rows = h.gather(2, lag.clamp(0, self.taps - 1).expand(x.shape[0], -1, -1)) * inside
            past, present = torch.split(rows, [self.taps - 1, self.hop_length], dim=2)
            rest = x[:, 0, start : start + self.hop_length, None] - past @ z[:, start : start + self.taps - 1, None]
            solved = torch.linalg.solve_triangular(present, rest, upper=False)[..., 0]
            z[:, start + self.taps - 1 : start + self.taps - 1 + self.hop_length] = solved
        return z[:, None, self.taps - 1 :], -log_h0.sum(dim=(1, 2))

    def inverse(self, z: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map noise (B, 1, T) to data in one parallel pass."""
        t, log_scale = self.shift_and_log_scale(z, cond)
        return z * torch.exp(log_scale) + t, log_scale.sum(dim=(1, 2))

    def shift_and_log_scale(self, z: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return t (B, 1, T), the contribution of earlier noise to each sample, and log_scale = log h_0 (B, 1, T)."""
        responses = self.responses(cond)
        batch, frames = responses.shape[0], responses.shape[1] - 1
        h0 = self._mixed(responses[..., :1]).reshape(batch, 1, -1)
        past = F.pad(responses[..., 1:], (1, 0))
        size = 1 << (self.hop_length + 2 * self.taps - 1).bit_length()
        windows = F.pad(z[:, 0], (self.taps - 1, 0)).unfold(1, self.hop_length + self.taps - 1, self.hop_length)
        spectrum = torch.fft.rfft(windows, n=size)
        filters = torch.fft.rfft(past, n=size)
        kept = slice(self.taps - 1, self.taps - 1 + self.hop_length)
        old, new = (torch.fft.irfft(spectrum * filters[:, i : i + frames], n=size)[..., kept] for i in (0, 1))
        t = torch.lerp(old, new, self._fraction(z)).reshape(batch, 1, -1)
        return t, h0.log()

    def responses(self, cond: Tensor | None) -> Tensor:
        """Return the responses (B, frames + 1, taps) at each frame's first sample; the last one is repeated."""
        log_scale = soft_floor(WEIGHT_SCALE * self.projection(cond), self.log_s_floor)
        cepstrum = torch.fft.irfft(torch.cat([log_scale, log_scale[:, :, -1:]], dim=2).transpose(1, 2), n=self.taps)
        half = self.taps // 2
        zeroth, positive, middle, _ = torch.split(cepstrum, [1, half - 1, 1, half - 1], dim=2)
        folded = torch.cat([zeroth, 2 * positive, middle], dim=2)
        size = OVERSAMPLING * self.taps
        tail = torch.fft.irfft(torch.exp(torch.fft.rfft(folded, n=size)), n=size)[..., 1 : self.taps]
        return torch.cat([torch.exp(zeroth), tail], dim=2)

    @torch.no_grad()
    def set_log_scale(self, weight: Tensor, bias: Tensor) -> None:
        """Set the bands' log-amplitudes: `weight` (bands, cond_channels, kernel_size), `bias` (bands,)."""
        self.projection.weight.copy_(weight / WEIGHT_SCALE)
        self.projection.bias.copy_(bias / WEIGHT_SCALE)  # type: ignore[union-attr]

    def _mixed(self, responses: Tensor) -> Tensor:
        """Interpolate responses (B, frames + 1, n) at every sample: (B, frames, hop_length, n)."""
        fraction = self._fraction(responses)[:, None]
        return torch.lerp(responses[:, :-1, None], responses[:, 1:, None], fraction)

    def _fraction(self, like: Tensor) -> Tensor:
        return torch.arange(self.hop_length, dtype=like.dtype, device=like.device) / self.hop_length
