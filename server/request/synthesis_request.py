"""How a client says what to synthesize, and what an engine is given of that."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, replace
from typing import Annotated, Protocol

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import HTTPConnection

from server.audio.encoding import FORMATS
from server.errors import RequestError
from server.mel.path import StatisticsValues
from vocoder.adapt.path import AdaptMode, MelPath
from vocoder.batching import Utterance
from vocoder.correction.correction import correctable
from vocoder.guard.opinion import GuardMode
from vocoder.guard.verdict import Verdict
from vocoder.mel.config import MelConfig
from vocoder.mel.input import MAX_CORRECTIONS

__all__ = [
    "Adapt",
    "Corrections",
    "Denoise",
    "FormatName",
    "ModelName",
    "Options",
    "PresetName",
    "SampleRate",
    "Seed",
    "Sigma",
    "StatisticsNumbers",
    "SynthesisQuery",
    "SynthesisRequest",
    "check_corrections",
    "deadline_of",
    "draw_seed",
]

DEADLINE_HEADER = "x-deadline-ms"
MAX_DEADLINE_DIGITS = 8

_FORMATS = "; ".join(offer.name for offer in FORMATS)

ModelName = Annotated[str | None, Field(max_length=256, description="a name from /v1/models; its first by default")]
Sigma = Annotated[
    float | None,
    Field(ge=0.0, le=2.0, allow_inf_nan=False, description="sampling temperature; the model's own by default"),
]
Seed = Annotated[int | None, Field(ge=0, lt=2**63, description="of the noise; drawn and reported if left out")]
Denoise = Annotated[
    float,
    Field(ge=0.0, le=1.0, allow_inf_nan=False, description="strength of the removal of the model's own hum"),
]
Corrections = Annotated[
    int | None,
    Field(
        ge=0,
        le=MAX_CORRECTIONS,
        description="how often the audio is corrected towards its mel; the model's own number by default, 40 for the "
        "best quality, fewer are faster",
    ),
]
PresetName = Annotated[
    str | None,
    Field(
        max_length=64,
        description="the mel preset that the mel was made with; /v1/models lists what it may be; auto recognises it",
    ),
]
Adapt = Annotated[
    AdaptMode,
    Field(description="off: refuse a mel that only an adapter, which guesses, can take to the model's contract"),
]
FormatName = Annotated[str | None, Field(max_length=64, description=f"{_FORMATS}; goes before Accept")]
SampleRate = Annotated[int | None, Field(gt=0, le=192_000, description="Hz to resample to; the model's own by default")]


StatisticsText = Annotated[
    str | None,
    Field(max_length=8192, description="with `preset`: of each band, by which the mel was normalised; with commas"),
]
StatisticsNumbers = Annotated[str | list[float] | None, Field(description="as in /v1/synthesize, or a list")]


class SynthesisQuery(BaseModel):
    """How to synthesize; everything has a default."""

    model_config = ConfigDict(extra="forbid")

    model: ModelName = None
    sigma: Sigma = None
    seed: Seed = None
    denoise: Denoise = 0.0
    corrections: Corrections = None
    preset: PresetName = None
    adapt: Adapt = "on"
    mean: StatisticsText = None
    variance: StatisticsText = None
    format: FormatName = None
    sample_rate: SampleRate = None
    guard: GuardMode | None = Field(
        default=None, description="what to do where a mel looks wrong: tell in a header, refuse (strict), or nothing"
    )
    stream: bool = Field(default=False, description="send the audio in pieces, the first as soon as it is there")

    @property
    def statistics(self) -> tuple[StatisticsValues, StatisticsValues]:
        """What the mel was normalised by."""
        return self.mean, self.variance


class Options(Protocol):
    """How to synthesize, as every interface can say it."""

    sigma: float | None
    seed: int | None
    denoise: float
    corrections: int | None
    guard: GuardMode | None
    preset: str | None
    adapt: AdaptMode

    @property
    def statistics(self) -> tuple[StatisticsValues, StatisticsValues]:
        """What the mel was normalised by."""


@dataclass(frozen=True)
class SynthesisRequest(Utterance):
    """An utterance in the contract of the model that is to synthesize it, as a client asked for it.

    Attributes:
        deadline: of `time.monotonic`, after which the answer is not wanted any more.
        verdict: of the mel guard, if it has one.
        path: by which the mel came into the model's contract.
        given_frames: of the mel before that.
        recognised: name of the contract that the mel was recognised to be of, where that was asked for.
    """

    deadline: float | None = None
    verdict: Verdict | None = None
    path: MelPath | None = None
    given_frames: int = 0
    recognised: str | None = None

    @property
    def samples(self) -> int | None:
        """How many samples of the model are heard; None for all of them."""
        return None if self.path is None else self.path.samples(self.given_frames)

    def within(self, seconds: float) -> SynthesisRequest:
        """Return the request as one whose answer is not wanted any more after so many seconds from now."""
        moments = [time.monotonic() + seconds, *([] if self.deadline is None else [self.deadline])]
        return replace(self, deadline=min(moments))


def draw_seed(asked: int | None) -> int:
    """Return the seed that was asked for, or one that nobody knows beforehand."""
    return secrets.randbelow(2**32) if asked is None else asked


def check_corrections(corrections: int | None, config: MelConfig) -> None:
    """Check that audio can be corrected towards a model's mels, where a request says that it is to be.

    Raises:
        RequestError: it cannot.
    """
    if corrections and not correctable(config):
        message = "audio cannot be corrected towards this model's mels: leave it out, or give 0"
        errors = [{"parameter": "corrections", "message": message}]
        raise RequestError("invalid-parameter", f"corrections: {message}.", errors=errors)


def deadline_of(connection: HTTPConnection) -> float | None:
    """Return the time, of `time.monotonic`, after which the client does not want its answer any more.

    Raises:
        RequestError: X-Deadline-Ms is no number of milliseconds.
    """
    value = connection.headers.get(DEADLINE_HEADER)
    if value is None:
        return None
    if not (value.isascii() and value.isdecimal() and len(value) <= MAX_DEADLINE_DIGITS and int(value) > 0):
        message = "must be a whole number of milliseconds, 1 or more"
        errors = [{"parameter": "X-Deadline-Ms", "message": message}]
        raise RequestError("invalid-parameter", f"X-Deadline-Ms: {message}.", errors=errors)
    return time.monotonic() + int(value) / 1000.0
