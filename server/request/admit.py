"""Whether a mel is admitted, by the same rules as in Python, and the response fields that describe it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from server.audio.formats import Level
from server.problems import Problem, invalid_parameter
from server.request.asked import Asked
from vocoder.adapt.path import MelPath, path_between
from vocoder.admission import Admitted, MelTooLongError, UnlikelyMelError
from vocoder.admission import admit as admit_mel
from vocoder.audio.origin import Origin
from vocoder.config import ConfigError
from vocoder.guard.automatic import UnsureError
from vocoder.mel.config import MelConfig, preset
from vocoder.mel.config_file import AUTO, with_statistics
from vocoder.mel.convert import MelMismatchError
from vocoder.mel.values import MelError
from vocoder.sampling import GuardMode

Mel = NDArray[np.float32]


HEADERS = {
    "X-Request-Id": "The id of the request: the client's own, if it sent a well-formed one.",
    "X-Model": "The model that synthesized the audio.",
    "X-Model-Dtype": "The precision of the model's products: float32 or bfloat16.",
    "X-Sample-Rate": "Hz of the audio.",
    "X-Audio-Samples": "Length of the audio in samples.",
    "X-Audio-Duration": "Length of the audio in seconds.",
    "X-RTF": "Seconds of inference per second of audio.",
    "X-Seed": "The seed of the noise. The same seed gives the same audio on machines of one type.",
    "X-Audio-Origin": "A JSON object: that the audio is synthetic, with its model, version, seed and precision.",
    "X-Gain": "dB by which the audio was made louder, where `gain` or `loudness` asked for it.",
    "X-Clipped-Samples": "Samples outside [-1, 1], which the format cannot hold and which were clipped.",
    "X-Mel-Preset": "The preset that the mel was made with, where it is not the model's own.",
    "X-Mel-Adapted": "The adapter that converted the mel, where no exact conversion exists.",
    "X-Mel-Recognised": "With preset=auto: the preset that the mel was recognised as.",
    "X-Mel-Guard": "`typical`, `too-short`, `unfamiliar`, or what the mel looks like.",
    "X-Mel-Guard-Typicality": "Percentage of true mels that are less likely than this one.",
    "X-Mel-Guard-Message": "Of a mel that is not typical: what it looks like, and what would be right.",
    "X-Mel-Guard-Preset": "Of a mel that is not typical: the preset whose bands it has.",
    "Server-Timing": "Milliseconds of reading, decoding, queueing, inference and encoding.",
}
"""the headers of an answer with audio, and what they mean"""


def admit(
    mel: Mel, asked: Asked, target: MelConfig, known: Mapping[str, MelConfig], mode: GuardMode, max_frames: int
) -> Admitted:
    """Check a mel by the config that it was made with, convert it to the model's own, and judge it.

    Args:
        mel: as it was decoded, of any shape.
        asked: the request's options.
        target: the model's own mel config.
        known: mel configs by name.
        mode: of the guard: `warn`, `strict` or `off`.
        max_frames: the longest mel that a model is given.

    Raises:
        Problem: the mel, or what the request declares about it, is wrong.
    """
    asked.check_corrections(target)
    if mel.ndim == 3 and mel.shape[0] == 1:
        mel = mel[0]
    source = _source(asked, target, known)
    if mel.ndim != 2:
        n_mels = target.n_mels if isinstance(source, str) else source.n_mels
        detail = f"Send one mel per request, of shape ({n_mels}, frames), not an array of shape {mel.shape}."
        raise Problem("invalid-mel", detail)
    with as_problems():
        return admit_mel(mel, target, source, asked.adapt, mode, max_frames=max_frames)


@contextmanager
def as_problems() -> Iterator[None]:
    """Turn the errors of an admission into problems."""
    try:
        yield
    except MelTooLongError as error:
        raise Problem("too-many-frames", _sentence(error), limit_frames=error.limit) from None
    except MelError as error:
        raise Problem("invalid-mel", _sentence(error), **error.details) from None
    except MelMismatchError as error:
        raise Problem("mel-mismatch", _sentence(error), differences=list(error.differences)) from None
    except UnsureError as error:
        likeliest = [guess.as_dict() for guess in error.likeliest]
        raise Problem("unsure-preset", _sentence(error), likeliest=likeliest) from None
    except UnlikelyMelError as error:
        raise Problem("unlikely-mel", _sentence(error), guard=error.verdict.as_dict()) from None


def mel_path(asked: Asked, target: MelConfig, known: Mapping[str, MelConfig]) -> MelPath:
    """Return the conversion from the config that a mel was made with to the model's own.

    Args:
        asked: the request's options; without a preset, and with `auto`, the mel has the model's own config.
        target: the model's own config.
        known: mel configs by name.

    Raises:
        Problem: unknown preset, invalid statistics, or no conversion that the request allows.
    """
    source = _source(asked, target, known)
    with as_problems():
        return path_between(target if isinstance(source, str) else source, target, asked.adapt)


def known_config(name: str, known: Mapping[str, MelConfig]) -> MelConfig:
    """Return the mel config of a name; raises a Problem if there is none."""
    try:
        return preset(name, known)
    except ConfigError as error:
        raise Problem("unknown-preset", _sentence(error), presets=list(known)) from None


def _source(asked: Asked, target: MelConfig, known: Mapping[str, MelConfig]) -> MelConfig | str:
    """Return the config that a mel was made with, or "auto" to recognise it."""
    if asked.preset != AUTO:
        return _normalised(target if asked.preset is None else known_config(asked.preset, known), asked)
    if asked.mean is not None or asked.variance is not None:
        raise invalid_parameter("preset", "auto takes no mean and variance: name the preset that they belong to")
    return AUTO


def _normalised(source: MelConfig, asked: Asked) -> MelConfig:
    given = {"mean": asked.mean, "variance": asked.variance}
    missing = [name for name, values in given.items() if values is None]
    if len(missing) == 2:
        return source
    if missing:
        raise invalid_parameter(missing[0], "mean and variance come together")
    mean, variance = (_numbers(name, values, source.n_mels) for name, values in given.items())
    try:
        return with_statistics(source, (mean, variance))
    except ConfigError:
        raise invalid_parameter("variance", "must be positive for every band") from None


def _numbers(name: str, values: str | Sequence[float] | None, n_mels: int) -> tuple[float, ...]:
    try:
        found = tuple(map(float, values.split(",") if isinstance(values, str) else values or ()))
    except ValueError:
        found = ()
    if len(found) != n_mels or not all(map(math.isfinite, found)):
        raise invalid_parameter(name, f"must be {n_mels} finite numbers, one for each band")
    return found


def _sentence(error: Exception) -> str:
    text = str(error)
    start = text[0] if text.startswith("preset=") else text[0].upper()
    return f"{start}{text[1:]}" + ("" if text.endswith(".") else ".")


def facts(
    admitted: Admitted, asked: Asked, seed: int | None, sample_rate: int, dtype: str | None, level: Level
) -> dict[str, str | float]:
    """Return the response fields of a synthesis, by header. The gain of a loudness is known once there is audio."""
    path, verdict = admitted.path, next(iter(admitted.verdicts), None)
    fields: dict[str, str | float | None] = {"X-Sample-Rate": sample_rate, "X-Seed": seed}
    fields["X-Model-Dtype"] = dtype
    fields["X-Gain"] = round(level.gain, 2) or None
    fields["X-Mel-Recognised"] = path.source.name if asked.preset == AUTO else None
    fields["X-Mel-Preset"] = None if path.own else path.source.name
    fields["X-Mel-Adapted"] = path.adapted
    if verdict is not None:
        fields["X-Mel-Guard"] = verdict.cause
        fields["X-Mel-Guard-Typicality"] = None if verdict.typicality is None else round(verdict.typicality)
        fields["X-Mel-Guard-Message"] = None if verdict.typical else verdict.message
        fields["X-Mel-Guard-Preset"] = None if verdict.typical else verdict.preset
    return {name: value for name, value in fields.items() if value is not None}


def as_headers(fields: dict[str, str | float], model: str, origin: Origin | None) -> dict[str, str]:
    """Return the headers of an answer."""
    headers = {"X-Model": model} | {name: str(value) for name, value in fields.items()}
    return headers if origin is None else headers | {"X-Audio-Origin": origin.to_json()}


def as_parameters(fields: dict[str, str | float]) -> dict[str, str | float]:
    """Return the parameters of an answer at /v2: X-Mel-Guard is mel_guard."""
    return {name.removeprefix("X-").lower().replace("-", "_"): value for name, value in fields.items()}
