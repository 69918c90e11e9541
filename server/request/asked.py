"""What a client may ask for: once, with a reader for each interface; and what an answer tells of it, in one table."""

import math
from contextlib import suppress
from dataclasses import fields
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import quote

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import QueryParams

from server.audio.formats import FORMATS, STREAM_FORMATS, Level
from server.problems import Problem, invalid_parameter, invalid_parameters, malformed_body, sentence
from server.request.reading import Strict, once, read_json
from vocoder.admission import Admitted
from vocoder.audio.writing import Origin
from vocoder.config import ConfigError
from vocoder.mel.config import MelConfig, MelConfigs, preset
from vocoder.mel.config_file import AUTO, with_statistics
from vocoder.sampling import MAX_CORRECTIONS, MAX_SIGMA, AdaptMode, GuardMode, Sampling

Query = TypeVar("Query", bound=BaseModel)

MAX_HELLO = 16384  # characters
PRINTABLE = "".join(map(chr, range(32, 127)))
FORMAT_NAMES = "; ".join(offer.name for offer in FORMATS)
STREAM_FORMAT_NAMES = tuple(offer.name for offer in STREAM_FORMATS)

ModelName = Annotated[str | None, Field(max_length=256, description="a name from /v1/models; its first by default")]
SampleRate = Annotated[int | None, Field(gt=0, le=192_000, description="Hz to resample to; the model's own by default")]

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
    "X-Mel-Sharpened": "How far the contrast of the mel was raised at its end, up to 1; missing if it was not there.",
    "X-Mel-Recognised": "With preset=auto: the preset that the mel was recognised as.",
    "X-Mel-Guard": "`typical`, `too-short`, `unfamiliar`, or what the mel looks like.",
    "X-Mel-Guard-Typicality": "Percentage of true mels that are less likely than this one.",
    "X-Mel-Guard-Message": "Of a mel that is not typical: what it looks like, and what would be right.",
    "X-Mel-Guard-Preset": "Of a mel that is not typical: the preset whose bands it has.",
    "Server-Timing": "Milliseconds of reading, decoding, queueing, inference and encoding.",
}
"""the headers of an answer with audio, and what they mean"""


class Asked(BaseModel):
    """What every interface offers. Fields that `Sampling` has, too, are handed on to the model."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    sigma: Annotated[float | None, Field(ge=0.0, le=MAX_SIGMA, allow_inf_nan=False)] = None
    """sampling temperature; the model's own by default"""
    seed: Annotated[int | None, Field(ge=0, lt=2**63)] = None
    """the same seed gives the same audio; random by default, and reported"""
    denoise: Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)] = 0.0
    """how much of the model's own hum to remove"""
    corrections: Annotated[int | None, Field(ge=0, le=MAX_CORRECTIONS)] = None
    """how often the audio is corrected towards its mel; the model's own number by default, fewer are faster"""
    sharpen: Annotated[float | None, Field(ge=0.0, le=1.0, allow_inf_nan=False)] = None
    """how far the contrast of the mel is raised; leave out for automatic: as far as it lacks texture"""
    preset: Annotated[str | None, Field(max_length=64)] = None
    """mel preset that the mel was made with, listed in /v1/models; auto recognises it"""
    adapt: AdaptMode = "on"
    """off: refuse a mel that only an adapter can convert"""
    mean: str | float | list[float] | None = None
    """as in /v1/synthesize, or a list or a number"""
    variance: str | float | list[float] | None = None
    """as in /v1/synthesize, or a list or a number"""
    guard: GuardMode | None = None
    """for a mel that looks wrong: warn in a header, refuse it (strict), or do nothing (off)"""
    gain: Annotated[float | None, Field(ge=-60.0, le=60.0, allow_inf_nan=False)] = None
    """dB by which the audio is made louder"""
    loudness: Annotated[float | None, Field(ge=-70.0, le=0.0, allow_inf_nan=False)] = None
    """loudness of the audio in LUFS (ITU-R BS.1770), instead of a gain; not of streams"""

    def sampling(self) -> Sampling:
        """Return the part that is handed on to the model."""
        return Sampling(**{field.name: getattr(self, field.name) for field in fields(Sampling)})

    def level(self, streamed: bool = False) -> Level:
        """Return how loud the audio shall be; raise a Problem if the request contradicts itself."""
        if self.loudness is not None and (streamed or self.gain is not None):
            message = "not for streams, which take gain" if streamed else "give gain or loudness, not both"
            raise invalid_parameter("loudness", message)
        return Level(self.gain or 0.0, self.loudness)

    def check_model(self, config: MelConfig) -> None:
        """Raise a Problem if the mels of a model can be neither sharpened nor corrected to, and are to be."""
        impossible = {
            "corrections": "audio cannot be corrected towards this model's mels",
            "sharpen": "this model's mels cannot be sharpened",
        }
        for name, message in impossible.items():
            if getattr(self, name) and not config.correctable:
                raise invalid_parameter(name, f"{message}: leave it out, or give 0")

    def source(self, target: MelConfig, known: MelConfigs) -> MelConfig | str:
        """Return the mel config of the mel, or "auto" to recognise it; raise a Problem if it contradicts itself.

        `target` is the model's own; `known` are mel configs by name.
        """
        if self.preset != AUTO:
            return self._normalised(target if self.preset is None else known_config(self.preset, known))
        if self.mean is not None or self.variance is not None:
            raise invalid_parameter("preset", "auto takes no mean and variance: name the preset that they belong to")
        return AUTO

    def _normalised(self, source: MelConfig) -> MelConfig:
        given = {"mean": self.mean, "variance": self.variance}
        missing = [name for name, values in given.items() if values is None]
        if len(missing) == 2:
            return source
        if missing:
            raise invalid_parameter(missing[0], "mean and variance come together")
        mean, variance = (_numbers(name, values, source.n_mels) for name, values in given.items())
        try:
            return with_statistics(source, (mean, variance))
        except ConfigError as error:
            name, fault = str(error).rpartition(": ")[2].split(" ", 1)  # "mel config 'NAME': variance must be positive"
            raise invalid_parameter(name, fault) from None


class SynthesisQuery(Asked):
    """The query of /v1/synthesize."""

    model: ModelName = None
    mean: Annotated[str | None, Field(max_length=8192)] = None
    """with `preset`: the mean of each band, comma-separated, or of all, by which the mel was normalised"""
    variance: Annotated[str | None, Field(max_length=8192)] = None
    """with `mean`: the variance of each band, comma-separated, or of all"""
    format: Annotated[str | None, Field(max_length=64, description=f"{FORMAT_NAMES}; overrides Accept")] = None
    sample_rate: SampleRate = None
    stream: bool = False
    """send the audio in pieces while it is synthesized"""


class StreamHello(Asked):
    """The first message on /v1/stream. `dtype` is that of the frames; `report_dry` asks for messages about pauses."""

    model_config = ConfigDict(strict=True)

    model: ModelName = None
    format: Literal[STREAM_FORMAT_NAMES] = "pcm"  # type: ignore[valid-type]
    sample_rate: SampleRate = None
    dtype: Literal["float32", "float16"] = "float32"
    report_dry: bool = False


class InferenceParameters(Asked):
    """The parameters of an inference request at /v2."""

    model_config = ConfigDict(strict=True)

    timeout: Annotated[int | None, Field(gt=0, lt=2**63)] = None
    """microseconds until the answer is worthless"""
    priority: Annotated[int | None, Field(ge=0, lt=2**63)] = None
    """accepted, without effect"""
    binary_data_output: bool = False


def read_query(kind: type[Query], given: QueryParams) -> Query:
    """Read the query of a request; raises a Problem if a parameter is invalid, or given twice."""
    try:
        return kind.model_validate(once(given.multi_items()))
    except ValidationError as error:
        raise invalid_parameters(error, "query", kind.model_fields) from None


def refuse_query(given: QueryParams, place: str) -> None:
    """Raise a Problem if an address has a query, since the options of its requests are elsewhere."""
    for name in given:
        raise invalid_parameter(name, f"the options of this address go into {place}, not into its query")


def read_hello(text: str) -> StreamHello:
    """Read the first message; raises a Problem: 400 not JSON or a repeated member, 413 too long, 422 an invalid one."""
    if len(text) > MAX_HELLO:
        raise Problem("body-too-large", f"The first message has at most {MAX_HELLO} characters.")
    try:
        return read_json(StreamHello, text.encode(), "The first message")
    except ValidationError as error:
        raise invalid_parameters(error, "the first message", StreamHello.model_fields) from None


class _End(Strict):
    end: Literal[True]


def check_end(text: str) -> None:
    """Check that a later text message marks the end of the mel; raises a Problem if it says anything else."""
    with suppress(ValidationError, Problem):
        read_json(_End, text.encode(), "The message")
        return
    raise malformed_body('After the first message, the only text message is {"end": true}; frames are binary messages.')


def known_config(name: str, known: MelConfigs) -> MelConfig:
    """Return the mel config of a name; raises a Problem if there is none."""
    try:
        return preset(name, known)
    except ConfigError as error:
        raise Problem("unknown-preset", sentence(error), presets=list(known)) from None


def _numbers(name: str, values: Any, n_mels: int) -> tuple[float, ...]:
    try:
        found = tuple(map(float, values.split(",") if isinstance(values, str) else np.ravel(values)))
    except ValueError:
        found = ()
    if len(found) not in (1, n_mels) or not all(map(math.isfinite, found)):
        raise invalid_parameter(name, f"must be {n_mels} finite numbers, one for each band, or one for all")
    return found


def facts(
    admitted: Admitted, asked: Asked, seed: int | None, sample_rate: int, dtype: str | None, level: Level
) -> dict[str, str | float]:
    """Return the response fields of a synthesis, by header. The gain of a loudness is known once there is audio."""
    path, verdict = admitted.path, next(iter(admitted.verdicts), None)
    fields: dict[str, str | float | None] = {"X-Sample-Rate": sample_rate, "X-Seed": seed}
    fields["X-Model-Dtype"] = dtype
    fields["X-Gain"] = round(level.gain, 2) or None
    fields["X-Mel-Sharpened"] = admitted.strength or None
    fields["X-Mel-Recognised"] = path.source.name if asked.preset == AUTO else None
    fields["X-Mel-Preset"] = None if path.own else path.source.name
    fields["X-Mel-Adapted"] = path.adapted
    if verdict is not None:
        fields["X-Mel-Guard"] = verdict.cause
        fields["X-Mel-Guard-Typicality"] = None if verdict.typicality is None else round(verdict.typicality)
        fields["X-Mel-Guard-Message"] = None if verdict.typical else verdict.message
        fields["X-Mel-Guard-Preset"] = None if verdict.typical else verdict.preset
    return {name: value for name, value in fields.items() if value is not None}


def printable(value: object) -> str:
    """Return a value as the text of a header: what is not ASCII, as in names of models, is percent-encoded."""
    return quote(str(value), safe=PRINTABLE)


def as_headers(fields: dict[str, str | float], model: str, origin: Origin | None) -> dict[str, str]:
    """Return the headers of an answer."""
    headers = {name: printable(value) for name, value in {"X-Model": model, **fields}.items()}
    return headers if origin is None else headers | {"X-Audio-Origin": origin.to_json()}


def as_parameters(fields: dict[str, str | float]) -> dict[str, str | float]:
    """Return the parameters of an answer at /v2: X-Mel-Guard is mel_guard."""
    return {name.removeprefix("X-").lower().replace("-", "_"): value for name, value in fields.items()}
