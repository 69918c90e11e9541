"""The options of a request, with a reader for each interface, and the fields of a response, in one table.

JSON is read strictly: anything that parsers read differently is refused.
"""

import json
import math
from collections.abc import Iterable
from contextlib import suppress
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, SkipValidation, ValidationError
from starlette.datastructures import QueryParams

from server.audio.formats import FORMATS, STREAM_FORMATS, Level
from server.problems import Problem, invalid_parameter, invalid_parameters, malformed_body, sentence
from vocoder.config import MAX_CORRECTIONS, ConfigError
from vocoder.mel.config import ALIASES, MelConfig, MelConfigs, preset
from vocoder.mel.config_file import AUTO, with_statistics
from vocoder.sampling import MAX_SIGMA, AdaptMode, GuardMode, Sampling, sampling_fields

Kind = TypeVar("Kind", bound=BaseModel)

MAX_HELLO = 16384  # characters
MAX_LISTS = 2**16
MAX_MEMBERS = 2**10
PRINTABLE = "".join(map(chr, range(32, 127)))
FORMAT_NAMES = "; ".join(offer.name for offer in FORMATS)
STREAM_FORMAT_NAMES = tuple(offer.name for offer in STREAM_FORMATS)

ModelName = Annotated[str | None, Field(max_length=256, description="a name from /v1/models; by default the first")]
SampleRate = Annotated[int | None, Field(gt=0, le=192_000, description="output rate in Hz; by default the model's own")]


class Strict(BaseModel):
    """A JSON object with exactly the declared members and types."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Options(BaseModel):
    """The options of every interface."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    sigma: Annotated[float | None, Field(ge=0.0, le=MAX_SIGMA)] = None
    """sampling temperature; the model's own by default"""
    seed: Annotated[int | None, Field(ge=0, lt=2**63)] = None
    """seed of the noise, which reproduces the audio; random by default, and reported"""
    denoise: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """how much of the model's own hum to remove"""
    corrections: Annotated[int | None, Field(ge=0, le=MAX_CORRECTIONS)] = None
    """number of corrections of the audio towards its mel; by default the model's own; fewer are faster"""
    sharpen: Annotated[float | None, Field(ge=0.0, le=1.0)] = None
    """how far to raise the contrast of the mel; by default as far as it lacks texture"""
    preset: Annotated[str | None, Field(max_length=64)] = None
    """preset that the mel was made with, from /v1/models; auto recognises it"""
    adapt: AdaptMode = "on"
    """off: refuse mels that only an adapter can convert"""
    mean: SkipValidation[str | float | list[float] | None] = None
    """as in /v1/synthesize, or a list or a number"""
    variance: SkipValidation[str | float | list[float] | None] = None
    """as in /v1/synthesize, or a list or a number"""
    guard: GuardMode | None = None
    """if the mel looks wrong: warn in a header, refuse it (strict), or do nothing (off)"""
    gain: Annotated[float | None, Field(ge=-60.0, le=60.0)] = None
    """gain to apply to the audio, in dB"""
    loudness: Annotated[float | None, Field(ge=-70.0, le=0.0)] = None
    """target loudness in LUFS (ITU-R BS.1770), instead of a gain; not for streams"""

    def sampling(self) -> Sampling:
        """Return the options that are passed on to the model."""
        return Sampling(**sampling_fields(self))

    def level(self, streamed: bool = False) -> Level:
        """Return the requested level; raise a Problem if the request contradicts itself."""
        if self.loudness is not None and (streamed or self.gain is not None):
            message = "not available for streams; use gain" if streamed else "give gain or loudness, not both"
            raise invalid_parameter("loudness", message)
        return Level(self.gain or 0.0, self.loudness)

    def source(self, target: MelConfig, known: MelConfigs) -> MelConfig | str:
        """Return the mel config of the mel, or "auto" to recognise it.

        `target` is the model's own; `known` are mel configs by name. Raises a Problem if the options contradict
        themselves, or want corrections or sharpening that the model's mels do not allow.
        """
        for name in ("corrections", "sharpen"):
            if getattr(self, name) and not target.correctable:
                raise invalid_parameter(name, "this model's mels do not allow it: leave it out or set it to 0")
        if self.preset != AUTO:
            return self._normalised(target if self.preset is None else known_config(self.preset, known))
        if self.mean is not None or self.variance is not None:
            raise invalid_parameter("preset", "auto cannot be used with mean and variance: name their preset")
        return AUTO

    def _normalised(self, source: MelConfig) -> MelConfig:
        given = {"mean": self.mean, "variance": self.variance}
        missing = [name for name, values in given.items() if values is None]
        if len(missing) == 2:
            return source
        if missing:
            raise invalid_parameter(missing[0], "mean and variance must be given together")
        mean, variance = (_numbers(name, values, source.n_mels) for name, values in given.items())
        try:
            return with_statistics(source, (mean, variance))
        except ConfigError as error:
            name, fault = str(error).rpartition(": ")[2].split(" ", 1)  # "mel config 'NAME': variance must be positive"
            raise invalid_parameter(name, fault) from None


class SynthesisQuery(Options):
    """The query of /v1/synthesize."""

    model: ModelName = None
    mean: Annotated[str | None, Field(max_length=8192)] = None
    """mean that the mel was normalised with: one number per band, comma-separated, or one for all"""
    variance: Annotated[str | None, Field(max_length=8192)] = None
    """variance that belongs to `mean`, in the same form"""
    format: Annotated[str | None, Field(max_length=64, description=f"{FORMAT_NAMES}; overrides Accept")] = None
    sample_rate: SampleRate = None
    stream: bool = False
    """send the audio in chunks while it is being synthesized"""


class StreamHello(Options):
    """The first message on /v1/stream. `dtype` is the frames' type; `report_dry` requests messages about pauses."""

    model_config = ConfigDict(strict=True)

    model: ModelName = None
    format: Literal[STREAM_FORMAT_NAMES] = "pcm"  # type: ignore[valid-type]
    sample_rate: SampleRate = None
    dtype: Literal["float32", "float16"] = "float32"
    report_dry: bool = False


class InferenceParameters(Options):
    """The parameters of an inference request to /v2."""

    model_config = ConfigDict(strict=True)

    timeout: Annotated[int | None, Field(gt=0, lt=2**63)] = None
    """microseconds after which the response is useless"""
    priority: Annotated[int | None, Field(ge=0, lt=2**63)] = None
    """accepted, but without effect"""
    binary_data_output: bool = False


def read_json(kind: type[Kind], text: bytes, name: str) -> Kind:
    """Read JSON as a `kind`; `name` is the text's name in error messages.

    Raises:
        Problem: 400, the text is not JSON, too long, nested too deeply, or repeats a member.
        ValidationError: the JSON is not a `kind`.
    """
    lists = text.count(b"[") + text.count(b"{")
    if lists > MAX_LISTS or text.count(b":") > MAX_MEMBERS:  # before parsing; no mel needs as many
        most = f"{MAX_LISTS} lists and objects and {MAX_MEMBERS} members"
        raise malformed_body(f"{name} has more than the limit of {most}.")
    try:
        found = kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] != "json_invalid":
            raise
        reason = first["ctx"]["error"].replace("recursion limit exceeded", "it is nested too deeply")
        raise malformed_body(f"{name} cannot be read as JSON: {reason}.") from None
    _check_members(text)
    return found


def once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return pairs of names and values as a dictionary; raises a Problem if a name is repeated."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise invalid_parameter(name, "give it once, not several times")
        found[name] = value
    return found


def _check_members(text: bytes) -> None:
    """Raise a Problem if valid JSON repeats a member, of which parsers silently take the last.

    Lists of numbers are cut out first, because json parses them slowly.
    """
    try:
        json.loads(b"[".join(map(_without_items, text.split(b"["))), object_pairs_hook=once, parse_int=str)
    except Problem as problem:
        raise malformed_body(problem.detail) from None


def _without_items(part: bytes) -> bytes:
    """Return the JSON between two opening brackets without the list's items, unless they have strings or objects."""
    items, end, rest = part.partition(b"]")
    return part if b'"' in items or b"{" in items else end + rest


def read_query(kind: type[Kind], given: QueryParams) -> Kind:
    """Read a request's query; raises a Problem if a parameter is invalid or given twice."""
    try:
        return kind.model_validate(once(given.multi_items()))
    except ValidationError as error:
        raise invalid_parameters(error, "query", kind.model_fields) from None


def refuse_query(given: QueryParams, place: str) -> None:
    """Raise a Problem if the URL has a query although the options belong into another `place`."""
    for name in given:
        raise invalid_parameter(name, f"put options into {place}, not into the query")


def read_hello(text: str) -> StreamHello:
    """Read the first message; raises a Problem: 400 not JSON or repeated members, 413 too long, 422 invalid members."""
    if len(text) > MAX_HELLO:
        raise Problem("body-too-large", f"The first message may have at most {MAX_HELLO} characters.")
    try:
        return read_json(StreamHello, text.encode(), "The first message")
    except ValidationError as error:
        raise invalid_parameters(error, "the first message", StreamHello.model_fields) from None


class _End(Strict):
    end: bool  # not Literal[True], which takes 1


def check_end(text: str) -> None:
    """Raise a Problem unless a text message after the first marks the end of the mel."""
    with suppress(ValidationError, Problem):
        if read_json(_End, text.encode(), "The message").end:
            return
    raise malformed_body('After the first message, send frames as binary messages, and {"end": true} at the end.')


def known_config(name: str, known: MelConfigs) -> MelConfig:
    """Return the mel config with a name; raises a Problem if there is none."""
    try:
        return preset(name, known)
    except ConfigError as error:
        raise Problem("unknown-preset", sentence(error), presets=[*known, *ALIASES]) from None


def _numbers(name: str, values: Any, n_mels: int) -> tuple[float, ...]:
    given = values.split(",") if isinstance(values, str) else values if isinstance(values, list) else [values]
    numeric = isinstance(values, str) or set(map(type, given)) <= {int, float}
    try:
        found = tuple(map(float, given)) if numeric and len(given) in (1, n_mels) else ()
    except (ValueError, OverflowError):
        found = ()
    if not found or not all(map(math.isfinite, found)):
        raise invalid_parameter(name, f"must be {n_mels} finite numbers, one per band, or one for all bands")
    return found


def printable(value: object) -> str:
    """Return a value as header text; non-ASCII characters, as in model names, are percent-encoded."""
    return quote(str(value), safe=PRINTABLE)
