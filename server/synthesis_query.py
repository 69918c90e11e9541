"""How a request says how to speak."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from server.encoding import FORMATS

__all__ = ["SynthesisQuery"]

_FORMATS = "; ".join(offer.name for offer in FORMATS)


class SynthesisQuery(BaseModel):
    """How to speak; everything has a default."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = Field(default=None, max_length=256, description="a name from /v1/models; its first by default")
    sigma: float | None = Field(
        default=None,
        ge=0.0,
        le=2.0,
        allow_inf_nan=False,
        description="sampling temperature; the model's own by default",
    )
    seed: int | None = Field(default=None, ge=0, lt=2**63, description="of the noise; drawn and reported if left out")
    denoise: float = Field(
        default=0.0, ge=0.0, le=1.0, allow_inf_nan=False, description="strength of the removal of the model's own hum"
    )
    preset: str | None = Field(default=None, max_length=64, description="the mel preset that the mel was made with")
    format: str | None = Field(default=None, max_length=64, description=f"{_FORMATS}; goes before Accept")
    sample_rate: int | None = Field(
        default=None, gt=0, le=192_000, description="Hz to resample to; the model's own by default"
    )
    stream: bool = Field(default=False, description="send the audio in pieces, the first as soon as it is there")
