"""What a client is told about a synthesis: as headers, and as parameters of /v2."""

from __future__ import annotations

from server.audio.level import Level
from server.request.admit import Admitted
from vocoder.audio.origin import Origin

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
    "X-Mel-Guard": "`typical`, or what the mel looks like.",
    "X-Mel-Guard-Typicality": "Percentage of true mels that are less likely than this one.",
    "X-Mel-Guard-Message": "Of a mel that is not typical: what it looks like, and what would be right.",
    "X-Mel-Guard-Preset": "Of a mel that is not typical: the preset whose bands it has.",
    "Server-Timing": "Milliseconds of reading, decoding, queueing, inference and encoding.",
}
"""the headers of an answer with audio, and what they mean"""


def facts(admitted: Admitted, sample_rate: int, dtype: str | None, level: Level) -> dict[str, str | float]:
    """Return what is told about a synthesis, by header. The gain of a loudness is known once there is audio."""
    path, verdict = admitted.path, admitted.verdict
    told: dict[str, str | float | None] = {"X-Sample-Rate": sample_rate, "X-Seed": admitted.sampling.seed}
    told["X-Model-Dtype"] = dtype
    told["X-Gain"] = round(level.gain, 2) or None
    told["X-Mel-Recognised"] = admitted.recognised
    told["X-Mel-Preset"] = None if path.own else path.source.name
    told["X-Mel-Adapted"] = path.adapted
    if verdict is not None:
        told["X-Mel-Guard"] = verdict.cause
        told["X-Mel-Guard-Typicality"] = None if verdict.typicality is None else round(verdict.typicality)
        told["X-Mel-Guard-Message"] = None if verdict.typical else verdict.message
        told["X-Mel-Guard-Preset"] = None if verdict.typical else verdict.preset
    return {name: value for name, value in told.items() if value is not None}


def as_headers(told: dict[str, str | float], model: str, origin: Origin | None) -> dict[str, str]:
    """Return the headers of an answer."""
    headers = {"X-Model": model} | {name: str(value) for name, value in told.items()}
    return headers if origin is None else headers | {"X-Audio-Origin": origin.to_json()}


def as_parameters(told: dict[str, str | float]) -> dict[str, str | float]:
    """Return the parameters of an answer at /v2: X-Mel-Guard is mel_guard."""
    return {name.removeprefix("X-").lower().replace("-", "_"): value for name, value in told.items()}
