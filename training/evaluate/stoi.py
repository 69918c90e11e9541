"""Short-time objective intelligibility."""

from __future__ import annotations

import warnings

from training.evaluate.metric import Audio, MetricUndefinedError, same_length

__all__ = ["short_time_intelligibility"]


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
