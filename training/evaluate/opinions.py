"""What listeners would say, as standards and a network predict it: PESQ, STOI, DistillMOS."""

from __future__ import annotations

import contextlib
import io
import warnings
from functools import cache
from typing import Any

import torch

from training.evaluate.metric import Audio, MetricUndefinedError, same_length
from vocoder.audio.resampling import resample

__all__ = ["naturalness", "pesq_wide_band", "short_time_intelligibility"]

_SAMPLE_RATE = 16000
_SAMPLE_RATE = 16000


def pesq_wide_band(reference: Audio, generated: Audio, sample_rate: int) -> float:
    """Return the wide-band PESQ score, 1 (bad) to 4.64 (identical), at 16 kHz.

    Raises:
        MetricUndefinedError: PESQ finds no speech, or less than a quarter of a second of audio.
    """
    from pesq import BufferTooShortError, NoUtterancesError, pesq  # optional: it is compiled when it is installed

    same_length(reference, generated)
    if not reference.any():
        raise MetricUndefinedError("PESQ finds no speech in the audio")
    x, x_hat = (resample(audio, sample_rate, _SAMPLE_RATE) for audio in (reference, generated))
    try:
        return float(pesq(_SAMPLE_RATE, x, x_hat, "wb"))
    except NoUtterancesError:
        raise MetricUndefinedError("PESQ finds no speech in the audio") from None
    except BufferTooShortError:
        raise MetricUndefinedError("PESQ needs at least a quarter of a second") from None


def short_time_intelligibility(reference: Audio, generated: Audio, sample_rate: int) -> float:
    """Return STOI, about 0 to 1 (identical). (Taal, Hendriks, Heusdens, Jensen, 2011; pystoi, which works at 10 kHz.)

    Raises:
        MetricUndefinedError: fewer than 30 frames are left without silence, about 0.4 s.
    """
    from pystoi import stoi  # optional

    same_length(reference, generated)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", category=RuntimeWarning)
        try:
            return float(stoi(reference, generated, sample_rate))
        except RuntimeWarning:
            raise MetricUndefinedError("STOI needs at least 0.4 s of speech") from None


def naturalness(reference: Audio, generated: Audio, sample_rate: int) -> float:
    """Return the mean opinion score, 1 to 5, that DistillMOS predicts for the generated audio at 16 kHz.

    (Stahl and Gamper, "Distillation and pruning for scalable self-supervised representation-based speech quality
    assessment", 2025.) The reference is not used.
    """
    x_hat = torch.from_numpy(resample(generated, sample_rate, _SAMPLE_RATE))
    with torch.inference_mode():
        return float(_network()(x_hat[None]).mean())


@cache
def _network() -> Any:
    from distillmos import ConvTransformerSQAModel  # optional

    with contextlib.redirect_stdout(io.StringIO()):  # it prints where its weights lie
        return ConvTransformerSQAModel().eval()
