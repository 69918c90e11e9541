"""What a client may ask for: once, with a reader for each interface."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from server.audio.formats import FORMATS, STREAM_FORMATS, Level
from server.problems import Problem, invalid_parameter, invalid_parameters, malformed_body
from vocoder.mel.config import MelConfig
from vocoder.sampling import MAX_CORRECTIONS, MAX_SIGMA, AdaptMode, GuardMode, Sampling

Query = TypeVar("Query", bound=BaseModel)

MAX_HELLO = 16384  # characters
FORMAT_NAMES = "; ".join(offer.name for offer in FORMATS)
STREAM_FORMAT_NAMES = tuple(offer.name for offer in STREAM_FORMATS)

ModelName = Annotated[str | None, Field(max_length=256, description="a name from /v1/models; its first by default")]
SampleRate = Annotated[int | None, Field(gt=0, le=192_000, description="Hz to resample to; the model's own by default")]


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
    preset: Annotated[str | None, Field(max_length=64)] = None
    """mel preset that the mel was made with, listed in /v1/models; auto recognises it"""
    adapt: AdaptMode = "on"
    """off: refuse a mel that only an adapter can convert"""
    mean: str | list[float] | None = None
    """as in /v1/synthesize, or a list"""
    variance: str | list[float] | None = None
    """as in /v1/synthesize, or a list"""
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

    def check_corrections(self, config: MelConfig) -> None:
        """Raise a Problem if audio is to be corrected towards mels for which that is impossible."""
        if self.corrections and not config.correctable:
            message = "audio cannot be corrected towards this model's mels: leave it out, or give 0"
            raise invalid_parameter("corrections", message)


class SynthesisQuery(Asked):
    """The query of /v1/synthesize."""

    model: ModelName = None
    mean: Annotated[str | None, Field(max_length=8192)] = None
    """with `preset`: the mean of each band, by which the mel was normalised, comma-separated"""
    variance: Annotated[str | None, Field(max_length=8192)] = None
    """with `mean`: the variance of each band, comma-separated"""
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

    timeout: Annotated[int | None, Field(gt=0, lt=2**63)] = None
    """microseconds until the answer is worthless"""
    priority: Annotated[int | None, Field(ge=0, lt=2**63)] = None
    """accepted, without effect"""
    binary_data_output: bool = False


def read_query(kind: type[Query], given: Mapping[str, str]) -> Query:
    """Read the query of a request; raises a Problem if a parameter is invalid."""
    try:
        return kind.model_validate(dict(given))
    except ValidationError as error:
        raise invalid_parameters(error, "query", kind.model_fields) from None


def read_hello(text: str) -> StreamHello:
    """Read the first message; raises a Problem: 400 not JSON, 413 too long, 422 an invalid member."""
    if len(text) > MAX_HELLO:
        raise Problem("body-too-large", f"The first message has at most {MAX_HELLO} characters.")
    try:
        return StreamHello.model_validate_json(text)
    except ValidationError as error:
        if any(entry["type"] == "json_invalid" for entry in error.errors()):
            raise malformed_body("The first message must be a JSON object.") from None
        raise invalid_parameters(error, "hello", StreamHello.model_fields) from None


def check_end(text: str) -> None:
    """Check that a later text message marks the end of the mel; raises a Problem if it says anything else."""
    try:
        ended = from_json(text) == {"end": True}
    except ValueError:
        ended = False
    if not ended:
        detail = 'After the first message, the only text message is {"end": true}; frames are binary messages.'
        raise malformed_body(detail)
