"""Linear prediction from the spectral envelope that a mel implies."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.config import Checked, ConfigError, Count, NotNegative, Positive
from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import band_centres, band_interpolation


def levinson(r: Tensor) -> tuple[Tensor, Tensor]:
    """Solve the normal equations of linear prediction by the Levinson-Durbin recursion.

    `r` (..., order + 1) are autocorrelations, positive definite, in float64 if spectra have a wide range. Returns the
    coefficients (..., order) of x_t = sum_k coefficient_k x_{t-k} + error, k from 1, and the variance (...) of the
    error. The synthesis filter is stable.
    """
    order = r.shape[-1] - 1
    error = r[..., 0]
    coefficients = r[..., :0]
    for i in range(order):
        explained = (coefficients * r[..., 1 : i + 1].flip(-1)).sum(-1)
        reflection = (r[..., i + 1] - explained) / error
        coefficients = coefficients - reflection[..., None] * coefficients.flip(-1)
        coefficients = torch.cat([coefficients, reflection[..., None]], dim=-1)
        error = error * (1 - reflection.square())
    return coefficients, error


def predict(x: Tensor, coefficients: Tensor) -> Tensor:
    """Predict x (B, T) from earlier samples, 0 before the first, by coefficients (B, blocks, order) of equal parts."""
    batch, blocks, order = coefficients.shape
    past = F.pad(x, (order, 0))[:, :-1].unfold(1, order, 1)
    past = past.reshape(batch, blocks, -1, order)
    return (past @ coefficients.flip(-1)[..., None]).reshape(batch, -1)


MEAN_TO_RMS = 4 / math.pi  # the mean square of a Rayleigh variable, relative to its squared mean


@dataclass(frozen=True)
class LinearPredictionConfig(Checked):
    """How to compute a predictor from the mel."""

    mel: str = "nvidia"  # mel preset
    order: Count = 24  # number of samples that a prediction uses
    subframes: Count = 4  # constant predictors per mel frame; the mel is interpolated between frames
    bandwidth: NotNegative = 30.0  # deviation in Hz of the smoothing along frequency, by a lag window
    noise: Positive = 1e-4  # standard deviation of the white noise in the audio, as added in training
    above_db: float = -60.0  # level of the bands above the mel's f_max, relative to the mel's last band


class LinearPrediction(nn.Module):
    """Predicts audio from its mel: x_t = sum_k a_k x_{t-k} + gain * z_t, where z is nearly white.

    The mel's bands give a power spectrum, whose inverse transform is an autocorrelation; the Levinson-Durbin recursion
    turns it into the best linear predictor of a process with that spectrum, and the deviation of its error, the gain.
    Coefficients and gain are constant over hop_length / subframes samples, and computed from the mel interpolated
    linearly to the middle of these. It has no parameters and is not differentiable with respect to the mel.

    Raises a ConfigError if mels cannot be converted to amplitudes, or if hop_length is not a multiple of `subframes`.
    """

    lookahead = 1  # later frames that a predictor uses

    def __init__(self, mel_config: MelConfig, config: LinearPredictionConfig) -> None:
        super().__init__()
        if mel_config.log.startswith("db") or mel_config.mean is not None:
            raise ConfigError(f"linear prediction needs plain logarithmic mels, unlike preset {mel_config.name!r}")
        if mel_config.hop_length % config.subframes:
            raise ConfigError(f"hop_length {mel_config.hop_length} must be a multiple of {config.subframes} subframes")
        self.config, self.mel_config = config, mel_config
        # The spectrum's logarithm is interpolated between band centres, and constant outside the outermost ones.
        hertz = torch.arange(mel_config.n_fft // 2 + 1, dtype=torch.float64) * mel_config.sample_rate / mel_config.n_fft
        bands, width = band_interpolation(mel_config, hertz), band_centres(mel_config)[1].clamp_min(1e-12)
        window_power = torch.hann_window(mel_config.win_length, dtype=torch.float64).square().sum()
        rms = math.log(MEAN_TO_RMS) if mel_config.power == 1 else 0.0
        offset = rms - (2 / mel_config.power) * (bands @ width.log()) - window_power.log()
        beyond = torch.where(hertz > mel_config.f_max, offset + config.above_db * math.log(10) / 10, offset)
        self.bands, self.offset = nn.Buffer(bands, persistent=False), nn.Buffer(beyond, persistent=False)
        """matrix (bins, n_mels) and offset (bins,) from log mel energies to the log power density"""
        angle = 2 * math.pi * config.bandwidth * torch.arange(config.order + 1).double() / mel_config.sample_rate
        self.lags = nn.Buffer(torch.exp(-0.5 * angle.square()), persistent=False)  # smooths spectra with a Gaussian

    @torch.no_grad()
    def predictors(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Return coefficients (B, blocks, order) and log-gains (B, blocks) of a mel; blocks = frames * subframes."""
        wide = mel.float() if mel.device.type == "mps" else mel.double()  # MPS has no float64
        autocorrelation = torch.fft.irfft(self.spectrum(wide.transpose(1, 2)))[..., : self.config.order + 1]
        coefficients, error = levinson(autocorrelation * self.lags.to(wide.dtype))
        return coefficients.to(mel.dtype), (0.5 * error.log()).to(mel.dtype)

    def spectrum(self, mel: Tensor) -> Tensor:
        """Return the power density (B, blocks, n_fft // 2 + 1) that a mel (B, frames, n_mels) implies."""
        config = self.mel_config
        following, subframes = torch.cat([mel[:, 1:], mel[:, -1:]], dim=1), self.config.subframes
        place = (torch.arange(subframes, dtype=mel.dtype, device=mel.device) + 0.5) / subframes
        between = torch.lerp(mel[:, :, None], following[:, :, None], place[:, None]).flatten(1, 2)
        log_energy = between * (math.log(10) if config.log == "log10" else 1.0)
        log_power = (2 / config.power) * (log_energy @ self.bands.to(mel.dtype).T) + self.offset.to(mel.dtype)
        return log_power.exp() + self.config.noise**2


class ConstantPrediction:
    """The pre-emphasis and gain of published code: z_t = gain * (x_t - emphasis * x_{t-1}), whatever the mel."""

    lookahead = 0

    def __init__(self, emphasis: float = 0.0, gain: float = 1.0) -> None:
        self.emphasis = emphasis
        self.log_gain = -math.log(gain)  # a predictor's gain is that of the audio over its error

    def predictors(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Return coefficients (B, frames, 1) and log-gains (B, frames) for a mel (B, n_mels, frames)."""
        log_gain = mel.new_full((mel.shape[0], mel.shape[2]), self.log_gain)
        return torch.full_like(log_gain, self.emphasis)[:, :, None], log_gain
