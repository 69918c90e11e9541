"""How a request says how to speak."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from server.audio.encoding import FORMATS
from vocoder.guard.opinion import GuardMode

__all__ = ["Denoise", "FormatName", "ModelName", "PresetName", "SampleRate", "Seed", "Sigma", "SynthesisQuery"]

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
PresetName = Annotated[str | None, Field(max_length=64, description="the mel preset that the mel was made with")]
FormatName = Annotated[str | None, Field(max_length=64, description=f"{_FORMATS}; goes before Accept")]
SampleRate = Annotated[int | None, Field(gt=0, le=192_000, description="Hz to resample to; the model's own by default")]


class SynthesisQuery(BaseModel):
    """How to speak; everything has a default."""

    model_config = ConfigDict(extra="forbid")

    model: ModelName = None
    sigma: Sigma = None
    seed: Seed = None
    denoise: Denoise = 0.0
    preset: PresetName = None
    format: FormatName = None
    sample_rate: SampleRate = None
    guard: GuardMode | None = Field(
        default=None, description="what to do where a mel looks wrong: tell in a header, refuse (strict), or nothing"
    )
    stream: bool = Field(default=False, description="send the audio in pieces, the first as soon as it is there")
