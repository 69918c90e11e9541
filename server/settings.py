"""Everything about the server that a deployment may choose, from the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from server.engine.queue import QueueLimits

__all__ = ["Settings"]


class Settings(BaseSettings):
    """The server's settings; each field reads the environment variable `VOCODER_` + its name in capitals."""

    model_config = SettingsConfigDict(env_prefix="VOCODER_", frozen=True, extra="forbid")

    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    models: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("reverse",),
        min_length=1,
        description="shipped names or model directories, separated by commas; first = default",
    )
    device: str = Field(default="cpu", description="torch device the models run on: cpu, cuda, cuda:1")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="precision of the models' stacks: float32, bfloat16; auto: the faster of the two, "
        "and float32 for imported models. In float32 the audio of a mel and a seed is the same to 1e-5 in any company, "
        "in chunks and on every replica; in bfloat16 to its rounding",
    )
    log_level: Literal["critical", "error", "warning", "info", "debug"] = Field(
        default="info", description="what is logged"
    )
    log_format: Literal["auto", "json", "text"] = Field(
        default="auto", description="json, or text; auto: text where standard error is a terminal, json elsewhere"
    )
    admin_port: int | None = Field(
        default=None, ge=0, le=65535, description="port for /metrics, /docs and /openapi.json, which then leave `port`"
    )
    admin_host: str = Field(default="127.0.0.1", description="address that the admin port listens on")
    docs: bool = Field(default=True, description="whether there are /docs and /openapi.json")
    page: bool = Field(default=True, description="whether / is a page for people to hear and see the models on")
    page_models: Path | None = Field(
        default=None,
        description="folder `page/local` of what `make page` wrote: its models also speak in the browser of whoever "
        "opens the page, and anyone who can open it can download them",
    )
    guard: Literal["warn", "strict", "off"] = Field(
        default="warn",
        description="what is done about a mel that looks wrong, where a request does not say: told in a header, "
        "refused, nothing",
    )
    origin: bool = Field(
        default=True,
        description="whether audio says that it is synthetic, and which model, version and seed made it: in the files "
        "and in the header X-Audio-Origin",
    )
    contracts: Path | None = Field(
        default=None,
        description="directory of mel contracts of your own, YAML or JSON: a file's name is the preset's",
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="names by which requests may ask for this server, in Host and Origin, separated by commas; `*.` "
        "before one stands for all below it, `*` for any; empty: loopback names where the server listens on loopback, "
        "any name elsewhere",
    )
    api_keys_file: Path | None = Field(default=None, description="file of API keys; without one there are no keys")
    requests_per_minute: int = Field(default=0, ge=0, description="requests that one key may make; 0 is no limit")
    frames_per_minute: int = Field(default=0, ge=0, description="mel frames that one key may send; 0 is no limit")
    queue_size: int = Field(default=64, ge=1, description="requests that may wait for one model before 503")
    queue_frames: int = Field(default=65536, ge=1, description="mel frames that may wait for one model before 503")
    queue_bytes: int = Field(default=64 * 2**20, ge=1, description="bytes of mels that may wait for one model")
    max_wait: float = Field(
        default=30.0,
        gt=0,
        description="seconds that a request may have to wait for the device, by its measured speed, before 503",
    )
    batching: bool = Field(default=True, description="whether mels share a run, where the device gains by it")
    calibration_seconds: float = Field(
        default=5.0, gt=0, description="seconds that a model may take at its start to measure what it gains by that"
    )
    max_body_bytes: int = Field(default=16 * 2**20, ge=1024, description="largest request body, in bytes")
    max_json_bytes: int = Field(default=8 * 2**20, ge=1024, description="largest JSON request body, in bytes")
    max_frames: int = Field(default=4096, ge=1, description="longest mel, in frames")
    max_audio_seconds: float = Field(
        default=60.0, gt=0, allow_inf_nan=False, description="longest audio for /mel, in seconds"
    )
    body_timeout: float = Field(default=30.0, gt=0, description="seconds a client may take to send its body")
    header_timeout: float = Field(default=10.0, gt=0, description="seconds a client may take to send its headers")
    send_timeout: float = Field(
        default=60.0, gt=0, description="seconds a client may leave an answer unread before its connection is ended"
    )
    keep_alive_timeout: float = Field(
        default=75.0, gt=0, description="seconds a connection stays open between requests; longer than a proxy's own"
    )
    max_header_bytes: int = Field(default=16384, ge=1024, description="largest request line and headers, in bytes")
    max_buffered_bytes: int = Field(
        default=256 * 2**20, ge=1024, description="bytes of all bodies held at once before 503"
    )
    stall_timeout: float = Field(
        default=120.0, gt=0, description="seconds one inference may take before /livez calls the model stuck"
    )
    drain_timeout: float = Field(
        default=30.0, ge=0, description="seconds that requests in flight get to finish at shutdown"
    )
    drain_delay: float = Field(
        default=0.0, ge=0, description="seconds that new requests are still taken after SIGTERM, while /readyz says 503"
    )
    max_connections_per_client: int = Field(
        default=0, ge=0, description="connections at once from one address; 0 is no limit, as behind a proxy"
    )
    max_connections: int = Field(
        default=256, ge=1, description="connections and requests at once before 503; probes are answered all the same"
    )
    worker_threads: int = Field(default=2, ge=1, description="threads that decode, check and encode")

    @property
    def queue_limits(self) -> QueueLimits:
        """How much may wait for each model."""
        return QueueLimits(self.queue_size, self.queue_frames, self.queue_bytes, self.max_wait)

    @field_validator("models", "allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value
