"""The server's settings, read from the environment."""

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self

import torch
from pydantic import AfterValidator, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PREFIX = "VOCODER_"
MIB = 2**20
Names = Annotated[tuple[str, ...], NoDecode]
Port = Annotated[int, Field(ge=0, le=65535)]
Count = Annotated[int, Field(ge=1)]
Limit = Annotated[int, Field(ge=0)]
Bytes = Annotated[int, Field(ge=1024)]
Seconds = Annotated[float, Field(gt=0, le=1e9)]
Least0 = Annotated[float, Field(ge=0, le=1e9)]
HOST = re.compile(r"\*|(\*\.)?[a-zA-Z0-9_-]+(\.[a-zA-Z0-9_-]+)*\.?")
ORIGIN = re.compile(r"https?://[a-z0-9.:\[\]-]+")  # as sent by browsers


def _device(name: str) -> str:
    try:
        return str(torch.device(name))
    except RuntimeError:
        raise ValueError(f"{name!r} is not a PyTorch device, such as cpu, cuda or cuda:1") from None


def _host(name: str) -> str:
    if not HOST.fullmatch(name):
        try:
            ip_address(name)
        except ValueError:
            right = "example.org, *.example.org or *, without scheme, port and path"
            raise ValueError(f"{name!r} is not a host name, such as {right}") from None
    return name


def _origin(name: str) -> str:
    if not ORIGIN.fullmatch(name):
        raise ValueError(f"{name!r} is not an origin: give scheme, host and any port, as https://example.org")
    return name


class Settings(BaseSettings):
    """The server's settings. Each field reads the environment variable `VOCODER_` + its name in capitals."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: Port = Field(default=8000, description="port to listen on; 0 picks a free one")
    models: Annotated[Names, Field(min_length=1)] = ("reverse",)
    """shipped names or model directories, comma-separated; first = default"""
    device: Annotated[str, AfterValidator(_device)] = "cpu"
    """torch device of the models: cpu, cuda, cuda:1, mps"""
    dtype: Literal["auto", "float32", "bfloat16", "int8"] = "auto"
    """precision of the models' products; auto is the fastest: int8 (`reverse` with AVX512-VNNI), bfloat16
    (AVX512-BF16, CUDA), else float32, as for imported models"""
    log_level: Literal["critical", "error", "warning", "info", "debug"] = "info"
    """lowest level to log"""
    log_format: Literal["auto", "json", "text"] = "auto"
    """json, text, or auto: text on a terminal, json elsewhere"""
    admin_port: Port | None = None
    """separate port for /metrics, no longer on `port` then"""
    admin_host: str = Field(default="127.0.0.1", description="address of the admin port")
    model_control: bool = False
    """whether models can be loaded and unloaded on the admin port, at /v2/repository"""
    unload_after: Least0 = 0.0
    """seconds without work after which a model is unloaded, until the next request; 0 means never. If shorter than
    VOCODER_BODY_TIMEOUT or VOCODER_SEND_TIMEOUT, it may end a stream"""
    docs: bool = Field(default=True, description="whether to serve /docs and /openapi.json")
    page: bool = Field(default=True, description="whether to serve the page at /")
    guard: Literal["warn", "strict", "off"] = "warn"
    """what to do about a mel that looks wrong, unless the request says: warn, strict (refuse it) or off"""
    origin: bool = True
    """whether audio is marked as synthetic, in the file and in the header X-Audio-Origin"""
    contracts: Path | None = None
    """directory of your own mel configs (YAML or JSON); each file's name becomes a preset"""
    allowed_hosts: Annotated[tuple[Annotated[str, AfterValidator(_host)], ...], NoDecode] = ()
    """additional host names to answer to, comma-separated; `*.name` allows its subdomains, `*` allows any"""
    cors_origins: Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], NoDecode] = ()
    """origins whose pages may use this server, comma-separated, such as `https://example.org`"""
    api_keys_file: Path | None = Field(default=None, description="file of API keys; without it, no key is needed")
    requests_per_minute: Limit = Field(default=0, description="requests per key; 0 means no limit")
    frames_per_minute: Limit = Field(default=0, description="mel frames per key; 0 means no limit")
    queue_size: Count = Field(default=64, description="requests that may wait for one model before 503")
    max_wait: Seconds = 30.0
    """expected wait in seconds, at the measured speed, above which requests get 503"""
    cores: Limit = Field(default=0, description="cores to compute on; 0 means all that the container may use")
    processes: Annotated[int, Field(ge=-1)] = -1
    """further processes that synthesize on a CPU; -1 means one for each of several cores, 0 none"""
    max_body_bytes: Bytes = Field(default=16 * MIB, description="largest request body, in bytes")
    max_json_bytes: Bytes = Field(default=8 * MIB, description="largest JSON request body, in bytes")
    max_frames: Count = Field(default=4096, description="longest mel, in frames")
    max_audio_seconds: Seconds = Field(default=60.0, description="longest audio for /mel, in seconds")
    body_timeout: Seconds = Field(default=30.0, description="seconds a client may take to send its body")
    header_timeout: Seconds = Field(default=10.0, description="seconds a client may take to send its headers")
    send_timeout: Seconds = 60.0
    """seconds a client may leave an answer unread before the server closes the connection"""
    keep_alive_timeout: Seconds = 75.0
    """seconds an idle connection stays open; should exceed that of the proxy in front"""
    max_header_bytes: Bytes = Field(default=16384, description="largest request line and headers together, in bytes")
    max_buffered_bytes: Annotated[int, Field(ge=16 * MIB)] = 256 * MIB
    """bytes of request bodies, mels and audio held at once before 503, at least 16 MiB"""
    stall_timeout: Seconds = 120.0
    """seconds one inference may take before /livez reports the model as stuck; after half, processes are replaced"""
    drain_timeout: Least0 = Field(default=30.0, description="seconds that requests in flight get at shutdown")
    drain_delay: Least0 = 0.0
    """seconds after SIGTERM in which new requests are still accepted, while /readyz answers 503"""
    max_connections: Count = 256
    """concurrent requests before 503, and connections before idle ones are closed; probes are always answered"""
    worker_threads: Count = Field(default=2, description="threads that decode, check and encode")

    @field_validator("models", "allowed_hosts", "cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if len({*self.models}) < len(self.models):
            raise ValueError(f"{PREFIX}MODELS names a model twice: {', '.join(self.models)}")
        if self.api_keys_file is None and self.requests_per_minute + self.frames_per_minute:
            limits = f"{PREFIX}REQUESTS_PER_MINUTE and FRAMES_PER_MINUTE"
            raise ValueError(f"{limits} are per key: set {PREFIX}API_KEYS_FILE")
        if self.model_control and self.admin_port is None:
            raise ValueError(f"{PREFIX}MODEL_CONTROL needs {PREFIX}ADMIN_PORT, where models are loaded and unloaded")
        return self


def unknown_variables(environment: Iterable[str]) -> Iterator[str]:
    """Yield a warning for each variable that looks like a setting but is not one."""
    known = [f"{PREFIX}{name.upper()}" for name in Settings.model_fields]
    for name in environment:
        if name.startswith(PREFIX) and name not in known:
            similar = get_close_matches(name, known, n=1, cutoff=0.8)
            yield f"there is no setting {name}" + (f" (did you mean {similar[0]}?)" if similar else "")
