"""The listening page of an evaluation: players, spectrograms, differences and scores."""

import base64
import io
from collections.abc import Mapping

import librosa
import numpy as np
import soundfile
from matplotlib.image import imsave
from numpy.typing import NDArray

from training.evaluate.metric import Audio
from training.evaluate.report import Report, cells, template, utterance_cells

DIFFERENCE_DB = 30.0  # difference in dB with the strongest colour
_LEVELS = 49  # colour levels; odd, so that no difference is white; more would not be distinguishable


def listening_page(report: Report, utterances: Mapping[str, Mapping[str, Audio]], sample_rate: int) -> str:
    """Return a self-contained HTML document with sortable scores; all inserted text is escaped.

    `utterances` are clips (T,) by title and candidate: the recording first, then each candidate's synthesis.
    """
    return template("listening.html").render(
        report=report,
        summaries=cells(report.summaries(), report.columns),
        rows=utterance_cells(report.rows, report.columns),
        directions={metric.title: metric.better for metric in report.metrics},
        utterances=utterances,
        sample_rate=sample_rate,
        flac_uri=flac_uri,
        spectrogram_picture=spectrogram_picture,
        difference_picture=difference_picture,
        difference_db=DIFFERENCE_DB,
    )


def flac_uri(x: Audio, sample_rate: int) -> str:
    """Return audio x (T,), full scale 1, as a data URI of 16-bit FLAC without tags."""
    file = io.BytesIO()
    soundfile.write(file, np.clip(x, -1.0, 1.0), sample_rate, format="FLAC", subtype="PCM_16")
    return _uri("audio/flac", file)


def spectrogram_picture(x: Audio, reference: Audio) -> str:
    """Return the spectrogram of x (T,) as a data URI of a PNG, on the reference's scale, with low frequencies below."""
    return _png((_decibels(x) - _top(reference)) / 70.0 + 1.0, "magma")  # black is 70 dB below the brightest


def difference_picture(x: Audio, reference: Audio) -> str:
    """Return the spectrogram of x (T,) minus that of the reference (T,) as a data URI of a PNG.

    Red is louder than the recording, blue is softer, white is equal. Levels more than 80 dB below the recording's
    loudest count as equal.
    """
    floor = _top(reference) - 80.0
    return _png((_decibels(x, floor) - _decibels(reference, floor)) / (2.0 * DIFFERENCE_DB) + 0.5, "seismic")


def _decibels(x: Audio, floor: float = -100.0) -> NDArray[np.float32]:
    """Return the spectrogram (256, frames) of x (T,) in dB: means over pairs of bins, without the highest bin."""
    magnitude = np.abs(librosa.stft(np.pad(x, (0, max(0, 1024 - len(x)))), n_fft=1024, hop_length=256))
    decibels = np.maximum(20.0 * np.log10(np.maximum(magnitude, 1e-5)), floor)
    return np.asarray(decibels[:-1].reshape(256, 2, -1).mean(axis=1), dtype=np.float32)


def _top(reference: Audio) -> float:
    return float(np.percentile(_decibels(reference), 99.8))  # with the maximum, everything else would be dark


def _png(shares: NDArray[np.float32], colours: str) -> str:
    file = io.BytesIO()
    steps = np.round(np.clip(shares, 0.0, 1.0) * (_LEVELS - 1)) / (_LEVELS - 1)
    imsave(file, steps, cmap=colours, vmin=0.0, vmax=1.0, origin="lower", format="png")
    return _uri("image/png", file)


def _uri(media_type: str, file: io.BytesIO) -> str:
    return f"data:{media_type};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
