"""Predictions of listeners' opinions: PESQ, STOI, DistillMOS, DNSMOS."""

import contextlib
import io
import warnings
from functools import cache
from importlib.metadata import distribution
from typing import Any

import librosa
import numpy as np
import torch

from training.evaluate.metric import Audio, MetricUndefinedError
from vocoder.audio.resampling import resample

_SAMPLE_RATE = 16000
_STOI_RATE = 10000
_DNSMOS_WINDOW = 144160  # length of DNSMOS's input in samples, 9.01 s; shorter audio is repeated


def pesq_wide_band(reference: Audio, generated: Audio, sample_rate: int) -> float:
    """Return the wide-band PESQ score, 1 (bad) to 4.64 (identical), at 16 kHz.

    Raises MetricUndefinedError if PESQ finds no speech, or less than a quarter of a second of audio.
    """
    from pesq import BufferTooShortError, NoUtterancesError, pesq  # optional: needs a C compiler

    if not (reference.any() and generated.any()):
        raise MetricUndefinedError("PESQ finds no speech in the audio")
    x, x_hat = (resample(audio, sample_rate, _SAMPLE_RATE) for audio in (reference, generated))
    try:
        return float(pesq(_SAMPLE_RATE, x, x_hat, "wb"))
    except NoUtterancesError:
        raise MetricUndefinedError("PESQ finds no speech in the audio") from None
    except BufferTooShortError:
        raise MetricUndefinedError("PESQ needs at least a quarter of a second") from None


def short_time_intelligibility(reference: Audio, generated: Audio, sample_rate: int) -> float:
    """Return STOI, about 0 to 1 (identical). (Taal, Hendriks, Heusdens, Jensen, 2011; pystoi, at 10 kHz.)

    Raises MetricUndefinedError if fewer than 30 frames are left without silence, about 0.4 s.
    """
    from pystoi import stoi  # optional

    x, x_hat = (resample(audio, sample_rate, _STOI_RATE) for audio in (reference, generated))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", category=RuntimeWarning)
        try:
            return float(stoi(x, x_hat, _STOI_RATE))
        except (RuntimeWarning, IndexError):  # the latter for less than a frame
            raise MetricUndefinedError("STOI needs at least 0.4 s of speech") from None


def naturalness(reference: Audio, generated: Audio, sample_rate: int) -> float:
    """Return the mean opinion score, 1 to 5, that DistillMOS predicts for the generated audio at 16 kHz.

    (Stahl and Gamper, "Distillation and pruning for scalable self-supervised representation-based speech quality
    assessment", 2025.) The reference is not used.
    """
    x_hat = torch.from_numpy(resample(generated, sample_rate, _SAMPLE_RATE))
    with torch.inference_mode():
        return float(_network()(x_hat[None]).mean())


def overall_quality(reference: Audio, generated: Audio, sample_rate: int) -> float:
    """Return the mean opinion score, 1 to 5, that DNSMOS P.808 predicts for the generated audio at 16 kHz.

    (Reddy, Gopal, Cutler, "DNSMOS: A non-intrusive perceptual objective speech quality metric", 2021; the network is of
    the package speechmos; its predictions are averaged over windows of 9.01 s, one per second.) The reference is not
    used. Raises MetricUndefinedError if the audio is silent.
    """
    x_hat = resample(generated, sample_rate, _SAMPLE_RATE)
    if not x_hat.any():
        raise MetricUndefinedError("DNSMOS is undefined for silence")
    x_hat = np.tile(x_hat, -(-_DNSMOS_WINDOW // len(x_hat)))
    opinions = []
    for start in range(0, len(x_hat) - _DNSMOS_WINDOW + 1, _SAMPLE_RATE):
        x = x_hat[start : start + _DNSMOS_WINDOW - 160]
        power = librosa.feature.melspectrogram(y=x, sr=_SAMPLE_RATE, n_fft=321, hop_length=160, n_mels=120)
        features = ((librosa.power_to_db(power, ref=np.max) + 40) / 40).T.astype(np.float32)  # (900, 120)
        opinions.append(_dnsmos_network().run(None, {"input_1": features[None]})[0])
    return float(np.mean(opinions))


@cache
def _dnsmos_network() -> Any:
    import onnxruntime  # optional

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    # The package is not imported, because it imports a network client and uses all cores.
    model = distribution("speechmos").locate_file("speechmos/dnsmos_models/model_v8.onnx")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


@cache
def _network() -> Any:
    from distillmos import ConvTransformerSQAModel  # optional

    with contextlib.redirect_stdout(io.StringIO()):  # it prints the path of its weights
        return ConvTransformerSQAModel().eval()
