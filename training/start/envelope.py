"""Initial values of a mel-conditioned flow, fitted so that noise already gets the envelope of speech."""

from collections.abc import Iterable

import torch
from sklearn.linear_model import Ridge
from torch import Tensor
from torch.nn import functional as F

from training.losses.spectral import spectrum
from vocoder.flows.affine import ConditionalAffine
from vocoder.layers.conditioning import normalised
from vocoder.models.student import Student
from vocoder.models.waveglow import WaveGlow

LOG_CHI_SQUARE = 1.2704  # minus the mean of the logarithm of a squared normal variable: ln 2 + Euler's constant
LOG_EXPONENTIAL = 0.5772  # the same for the squared modulus of a complex normal variable: Euler's constant


def fit_envelope(model: Student | WaveGlow, pairs: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Fit the log-scales of a mel-conditioned flow by ridge regression of the log-energy of each band on the mel.

    Models without such a flow, or with one that was already trained, are left unchanged. `pairs` are audio (B, T), with
    the noise that training adds, and its mel (B, n_mels, T / hop_length).
    """
    envelope = model.envelope
    if envelope is None or bool(envelope.projection.weight.any()):
        return
    width, rows, targets = envelope.kernel_size // 2, [], []
    for x, mel in pairs:
        if model.transform is not None:
            power = model.transform(x.unsqueeze(1))[0].square()
        else:
            assert isinstance(model, Student)
            powers = spectrum(x, model.config.filter_taps, model.config.hop_length).abs().square()
            power = powers[:, :, : mel.shape[2]]
        cond = normalised(mel).repeat_interleave(power.shape[2] // mel.shape[2], dim=2)
        stacked = F.pad(cond, (width, width), mode="replicate").unfold(2, envelope.kernel_size, 1)
        rows.append(stacked.permute(0, 2, 1, 3).flatten(2).flatten(0, 1))
        targets.append(power.clamp_min(1e-12).log().transpose(1, 2).flatten(0, 1))
    inputs, outputs = (torch.cat(parts).double().cpu().numpy() for parts in (rows, targets))
    fitted = Ridge(1e-2 * len(inputs)).fit(inputs, outputs)  # a penalty relative to the mean squared error
    bias = fitted.intercept_ + (LOG_CHI_SQUARE if isinstance(envelope, ConditionalAffine) else LOG_EXPONENTIAL)
    weight = fitted.coef_.reshape(len(bias), -1, envelope.kernel_size)
    envelope.set_log_scale(torch.from_numpy(0.5 * weight), torch.from_numpy(0.5 * bias))
