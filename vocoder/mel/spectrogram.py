"""Compute mel-spectrograms, differentiably and on any device."""

import math
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.mel.config import MelConfig
from vocoder.mel.convert import encode
from vocoder.stages import torch_defaults

# The Slaney scale is linear up to 1000 Hz (mel 15), and logarithmic above, with 27 steps per factor of 6.4.
_LINEAR_HZ_PER_MEL = 200.0 / 3.0
_BREAK_HZ = 1000.0
_BREAK_MEL = _BREAK_HZ / _LINEAR_HZ_PER_MEL
_LOG_STEP = math.log(6.4) / 27.0


def hz_to_mel(frequency: Tensor, scale: str) -> Tensor:
    """Convert hertz to mels of the Slaney (Auditory Toolbox) or HTK scale."""
    if scale == "htk":
        return 2595.0 * torch.log10(1.0 + frequency / 700.0)
    above = _BREAK_MEL + torch.log(frequency.clamp(min=_BREAK_HZ) / _BREAK_HZ) / _LOG_STEP
    return torch.where(frequency < _BREAK_HZ, frequency / _LINEAR_HZ_PER_MEL, above)


def mel_to_hz(mel: Tensor, scale: str) -> Tensor:
    """Convert mels of the Slaney or HTK scale to hertz."""
    if scale == "htk":
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    above = _BREAK_HZ * torch.exp(_LOG_STEP * (mel - _BREAK_MEL).clamp(min=0.0))
    return torch.where(mel < _BREAK_MEL, mel * _LINEAR_HZ_PER_MEL, above)


def mel_filterbank(config: MelConfig) -> Tensor:
    """Return the filterbank (n_mels, n_fft // 2 + 1) of a mel config, in float64.

    Triangles overlap by half. `mel_norm` "slaney" gives them unit area in hertz, "none" unit height.
    """
    bins = torch.arange(config.n_fft // 2 + 1, dtype=torch.float64) * config.sample_rate / config.n_fft
    lowest, highest = hz_to_mel(torch.tensor([config.f_min, config.f_max], dtype=torch.float64), config.mel_scale)
    steps = torch.arange(config.n_mels + 2, dtype=torch.float64) / (config.n_mels + 1)
    edges = mel_to_hz(lowest + (highest - lowest) * steps, config.mel_scale)
    left, peak, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - left) / (peak - left), (right - bins) / (right - peak)
    bank = torch.minimum(rising, falling).clamp(min=0.0)
    return bank * (2.0 / (right - left)) if config.mel_norm == "slaney" else bank


class MelSpectrogram(nn.Module):
    """Compute the mel-spectrograms of a `MelConfig`, also under autocast, in float32, or float64 for float64 audio.

    If `precise`, the Fourier transform uses float64 where the device supports it. In float32 rounding errors of loud
    bands reach quiet bands of the same frame and change their logarithms, by up to 1e-3 in speech and far more in empty
    bands; this is accurate enough for a loss and takes half the time.
    """

    def __init__(self, config: MelConfig, *, precise: bool = True) -> None:
        super().__init__()
        self.config = config
        self.precise = precise
        self.filterbank = nn.Buffer(mel_filterbank(config).float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the mel (B, n_mels, `config.frames(T)`) of x (B, T) in [-1, 1]; raises a ValueError if too short."""
        return self.frame(self.pad(x))

    def pad(self, x: Tensor) -> Tensor:
        """Reflect the ends of audio (B, T) by the config's padding, as `frame` expects: (B, T + 2 padding)."""
        padding = self.config.padding
        _check_audio(x)
        if x.shape[1] <= padding:
            short = f"audio of {x.shape[1]} samples is too short for mel preset {self.config.name!r}"
            needed = f"it needs at least {padding + 1}"
            raise ValueError(f"{short}, which reflects {padding} samples at each end: {needed}")
        return F.pad(x[:, None], (padding, padding), mode="reflect")[:, 0]

    def frame(self, x_padded: Tensor) -> Tensor:
        """Compute the mel (B, n_mels, 1 + (T - n_fft) // hop_length) of audio (B, T), such as a crop of `pad(x)`.

        Frame i covers samples [i * hop_length, i * hop_length + n_fft). Raises a ValueError for other shapes.
        """
        _check_audio(x_padded)
        if x_padded.shape[1] < self.config.n_fft:
            raise ValueError(f"audio of {x_padded.shape[1]} samples is shorter than one frame of {self.config.n_fft}")
        x = x_padded if x_padded.dtype == torch.float64 else x_padded.float()
        with torch.autocast(x.device.type, enabled=False):
            energy = self.filterbank.to(x.dtype) @ self._spectrum(x).to(x.dtype)
            return encode(energy.clamp(min=self.config.floor).log(), self.config)

    def silence(self) -> Tensor:
        """Return the mel frame (n_mels,) of digital silence."""
        return self.frame(self.filterbank.new_zeros(1, self.config.n_fft))[0, :, 0]

    def _spectrum(self, x: Tensor) -> Tensor:
        config = self.config
        if self.precise and x.device.type != "mps":  # MPS has no float64
            x = x.double()
        window = torch.hann_window(config.win_length, dtype=x.dtype, device=x.device)
        lengths = (config.n_fft, config.hop_length, config.win_length)
        spectrum = torch.stft(x, *lengths, window, center=False, return_complex=True)
        if config.power == 1.0 and config.magnitude_epsilon == 0.0:
            return spectrum.abs()  # its gradient at zero is zero; that of sqrt would be infinite
        squared = spectrum.real.square() + spectrum.imag.square() + config.magnitude_epsilon
        return squared.sqrt() if config.power == 1.0 else squared


_spectrogram = lru_cache(32)(torch_defaults()(MelSpectrogram))  # bounded: requests may bring their own statistics


def mel_of(x: NDArray[np.float32], config: MelConfig) -> NDArray[np.float32]:
    """Return the mel (n_mels, frames) of audio x (T,), without gradients; raises a ValueError if x is too short."""
    with torch.inference_mode():
        mel: NDArray[np.float32] = _spectrogram(config)(torch.from_numpy(x)[None])[0].numpy()
    return mel


def _check_audio(x: Tensor) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"audio must be a tensor (B, T), not {type(x).__name__}: use torch.from_numpy(x)[None]")
    if x.dim() != 2 or not x.is_floating_point():
        raise ValueError(f"audio must be floating point of shape (B, T), not {x.dtype} of shape {tuple(x.shape)}")


def band_centres(config: MelConfig) -> tuple[Tensor, Tensor]:
    """Return the centre of each band in Hz and its level for a flat spectrum of 1, both (n_mels,) in float64.

    With short windows a narrow band may contain no bin; its level is 0 and its centre NaN.
    """
    filterbank = mel_filterbank(config)
    level = filterbank.sum(dim=1)
    hertz = torch.arange(filterbank.shape[1], dtype=torch.float64) * config.sample_rate / config.n_fft
    return (filterbank @ hertz) / level, level


def band_interpolation(config: MelConfig, hertz: Tensor) -> Tensor:
    """Return weights (len(hertz), n_mels) in float64 that interpolate between band centres.

    Frequencies outside the outermost centres take the outermost band. Bands without a bin are ignored.
    """
    centres, level = band_centres(config)
    rows = torch.nonzero(level > 0)[:, 0]
    centres = centres[rows]
    right = torch.searchsorted(centres, hertz).clamp(1, len(centres) - 1)
    share = ((hertz - centres[right - 1]) / (centres[right] - centres[right - 1])).clamp(0, 1)[:, None]
    bands = torch.eye(config.n_mels, dtype=torch.float64)[rows]
    return (1 - share) * bands[right - 1] + share * bands[right]
