"""Perceptual evaluation of speech quality, wide band (ITU-T P.862.2)."""

from __future__ import annotations

from training.evaluate.metric import Audio, MetricUndefinedError, same_length
from vocoder.audio.resampling import resample

__all__ = ["pesq_wide_band"]

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
