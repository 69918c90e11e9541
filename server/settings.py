"""Everything about the server that a deployment may choose, from the environment."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

__all__ = ["Settings"]


class Settings(BaseSettings):
    """The server's settings; each field reads the environment variable `VOCODER_` + its name in capitals."""

    model_config = SettingsConfigDict(env_prefix="VOCODER_", frozen=True, extra="forbid")

    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    models: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("waveglow",),
        min_length=1,
        description="shipped names or model directories, separated by commas; first = default",
    )
    device: str = Field(default="cpu", description="torch device the models run on: cpu, cuda, cuda:1")
    log_level: Literal["critical", "error", "warning", "info", "debug"] = Field(
        default="info", description="what is logged"
    )
    queue_size: int = Field(default=64, ge=1, description="requests that may wait for one model before 503")
    max_body_bytes: int = Field(default=16 * 2**20, ge=1024, description="largest request body, in bytes")
    max_json_bytes: int = Field(default=8 * 2**20, ge=1024, description="largest JSON request body, in bytes")
    max_frames: int = Field(default=4096, ge=1, description="longest mel, in frames")
    max_audio_seconds: float = Field(
        default=60.0, gt=0, allow_inf_nan=False, description="longest audio for /mel, in seconds"
    )
    body_timeout: float = Field(default=30.0, gt=0, description="seconds a client may take to send its body")
    stall_timeout: float = Field(
        default=120.0, gt=0, description="seconds one inference may take before /livez calls the model stuck"
    )
    drain_timeout: float = Field(
        default=30.0, ge=0, description="seconds that requests in flight get to finish at shutdown"
    )
    max_connections: int = Field(default=256, ge=1, description="connections and requests at once before a plain 503")
    worker_threads: int = Field(default=2, ge=1, description="threads that decode, check and encode")

    @field_validator("models", mode="before")
    @classmethod
    def _split_models(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value
