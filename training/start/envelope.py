"""Starting values of a mel-conditioned flow, fitted so that noise already has the envelope of speech."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

from training.losses.spectral import spectrum
from vocoder.flows.elementwise import ConditionalAffine
from vocoder.flows.minimum_phase import MinimumPhaseFilter
from vocoder.models.student import Student

LOG_CHI_SQUARE = 1.2704  # minus the mean of the logarithm of a squared normal variable: ln 2 + Euler's constant
LOG_EXPONENTIAL = 0.5772  # the same for the squared modulus of a complex one: Euler's constant


def fit_envelope(student: Student, pairs: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Fit the log-scales of a student's last flow to the energy of audio.

    Args:
        student: left alone if its last flow has learnt already.
        pairs: audio (B, T), with the noise that training adds, and its mel (B, n_mels, T / hop_length).
    """
    envelope = student.envelope
    if bool(envelope.projection.weight.any()):
        return
    conditions = ((student.envelope_condition(mel), x) for x, mel in pairs)
    weight, bias = log_scale_of(envelope, ((cond, _power(student, x, cond.shape[2])) for cond, x in conditions))
    envelope.set_log_scale(weight, bias)


def log_scale_of(
    envelope: ConditionalAffine | MinimumPhaseFilter, pairs: Iterable[tuple[Tensor, Tensor]]
) -> tuple[Tensor, Tensor]:
    """Return the log-scale of a flow by ridge regression of the log-energy of each band on the mel.

    Args:
        envelope: the flow.
        pairs: what it sees of the mel, (B, n_mels, frames), and the power of audio in its bands, (B, bands, frames).

    Returns:
        weight (bands, n_mels, kernel_size) and bias (bands,).
    """
    rows, targets = [], []
    for cond, power in pairs:
        width = envelope.kernel_size // 2
        stacked = F.pad(cond, (width, width), mode="replicate").unfold(2, envelope.kernel_size, 1)
        rows.append(stacked.permute(0, 2, 1, 3).flatten(2).flatten(0, 1))
        targets.append(power.clamp_min(1e-12).log().transpose(1, 2).flatten(0, 1))
    weight, bias = ridge(torch.cat(rows).double(), torch.cat(targets).double())
    bias = bias + (LOG_CHI_SQUARE if isinstance(envelope, ConditionalAffine) else LOG_EXPONENTIAL)
    return 0.5 * weight.T.reshape(len(bias), -1, envelope.kernel_size), 0.5 * bias


def _power(student: Student, x: Tensor, frames: int) -> Tensor:
    """Return the power (B, bands, frames) of audio (B, T) in the bands of the last flow."""
    if student.transform is not None:
        coefficients: Tensor = student.transform(x.unsqueeze(1))[0]
        return coefficients.square()
    taps = student.config.filter_taps
    window = torch.hann_window(taps, device=x.device)
    return spectrum(x, taps, window, student.config.hop_length).abs().square()[:, :, :frames]


def ridge(rows: Tensor, targets: Tensor, penalty: float = 1e-2) -> tuple[Tensor, Tensor]:
    """Return the weights (features, outputs) and intercept (outputs,) for rows (n, features), targets (n, outputs)."""
    mean, offset = rows.mean(dim=0), targets.mean(dim=0)
    centred = rows - mean
    gram = centred.T @ centred / len(rows) + penalty * torch.eye(rows.shape[1], dtype=rows.dtype, device=rows.device)
    weight = torch.linalg.solve(gram, centred.T @ (targets - offset) / len(rows))
    return weight, offset - mean @ weight
