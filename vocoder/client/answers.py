"""What a server answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vocoder.audio.origin import Origin
from vocoder.config import from_dict
from vocoder.mel.config import MelConfig

__all__ = ["MelVerdict", "ModelInfo", "Speech", "StreamEnd", "StreamStart"]


@dataclass(frozen=True)
class MelVerdict:
    """What the server's mel guard says of a mel.

    Attributes:
        typical: false where something should be looked into.
        cause: `typical`, `too-short`, or what the mel looks like, such as `log10`.
        typicality: percentage of true mels that are less likely; None where there was too little to judge by.
        message: where it is not typical, what it looks like and what would be right.
        preset: that it looks like the mels of, where it is not typical.
    """

    typical: bool
    cause: str
    typicality: float | None = None
    message: str | None = None
    preset: str | None = None

    @classmethod
    def of_headers(cls, headers: Mapping[str, str]) -> MelVerdict | None:
        """Read what the headers of an answer tell; None if they tell nothing."""
        cause, typicality = headers.get("X-Mel-Guard"), headers.get("X-Mel-Guard-Typicality")
        if cause is None:
            return None
        message = headers.get("X-Mel-Guard-Message")
        share = None if typicality is None else float(typicality)
        return cls(message is None, cause, share, message, headers.get("X-Mel-Guard-Preset"))


@dataclass(frozen=True)
class Speech:
    """Audio x (T,), float32 in [-1, 1], its sample_rate in Hz, and the model and seed that made it.

    `guard` is what the server's mel guard says of the mel, and `origin` what it says of where the audio comes from,
    each None where it says nothing; `write_audio(..., origin=speech.origin)` keeps it in a file.
    `adapted` names the adapter that the mel went through, None if it went through none, and `recognised` the contract
    that it was recognised to be of, None unless `preset="auto"` asked for that.
    """

    x: NDArray[np.float32]
    sample_rate: int
    model: str
    seed: int
    guard: MelVerdict | None = None
    origin: Origin | None = None
    adapted: str | None = None
    recognised: str | None = None


@dataclass(frozen=True)
class StreamStart:
    """What is known before the first audio of a stream: who speaks, at which rate, and what a frame is.

    `n_mels` is of the frames that are sent, `hop_length` of the model's own. `adapted` names the adapter that the
    frames go through, None where they go through none.
    """

    model: str
    seed: int
    sample_rate: int
    n_mels: int
    hop_length: int
    adapted: str | None = None

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> StreamStart:
        """Read the server's message `ready`."""
        plain = {item.name: document[item.name] for item in fields(cls) if item.name != "adapted"}
        return cls(**plain, adapted=document.get("adapted"))


@dataclass(frozen=True)
class StreamEnd:
    """What was spoken: frames of the mel, samples of audio, and the seconds that it waited and was computed for.

    `guard` is what the server's mel guard says of how the mel begins, None where it says nothing, and `recognised` the
    contract that it was recognised to be of, None unless `preset="auto"` asked for that.
    """

    frames: int
    samples: int
    queue_seconds: float
    infer_seconds: float
    guard: MelVerdict | None = None
    recognised: str | None = None

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> StreamEnd:
        """Read the server's message `done`."""
        said = document.get("guard")
        verdict = None if said is None else MelVerdict(**{item.name: said[item.name] for item in fields(MelVerdict)})
        plain = [item.name for item in fields(cls) if item.name not in ("guard", "recognised")]
        return cls(**{name: document[name] for name in plain}, guard=verdict, recognised=document.get("recognised"))


@dataclass(frozen=True)
class ModelInfo:
    """A model of the server.

    Attributes:
        name: what requests call it.
        state: "ready", "loading" or "failed".
        mel_config: what it expects of a mel; None until it is ready.
        details: all that the server tells of it: family, parameters, provenance, quality, limits.
    """

    name: str
    state: str
    mel_config: MelConfig | None
    details: Mapping[str, Any]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> ModelInfo:
        """Read one entry of the server's list."""
        mel, known = document.get("mel"), {item.name for item in fields(MelConfig)}
        config = None
        if mel is not None:
            config = from_dict(MelConfig, {name: value for name, value in mel.items() if name in known})
        return cls(document["name"], document["state"], config, document)
