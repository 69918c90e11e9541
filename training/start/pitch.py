"""The directory of a pitch network that was fitted by itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from vocoder.checkpoint import FORMAT_VERSION, load_model
from vocoder.config import ConfigError, from_dict, to_dict
from vocoder.layers.source.pitch import PitchConfig, PitchNet
from vocoder.loading import model_directory

_PREFIX, _WEIGHTS = "pitch.", "pitch.safetensors"


@dataclass(frozen=True)
class PitchModel:
    """A pitch network and the frames that it reads."""

    n_mels: int = 80
    hop_length: int = 256
    sample_rate: int = 22050
    pitch: PitchConfig = field(default_factory=PitchConfig)


def save_pitch(directory: Path, net: PitchNet, model: PitchModel, provenance: Mapping[str, Any]) -> None:
    """Write config.json and pitch.safetensors, whose keys begin with `pitch.` as in a model."""
    directory.mkdir(parents=True, exist_ok=True)
    save_file({_PREFIX + name: value.contiguous() for name, value in net.state_dict().items()}, directory / _WEIGHTS)
    config = {
        "format_version": FORMAT_VERSION,
        "family": "pitch",
        "architecture": to_dict(model),
        "provenance": dict(provenance),
    }
    (directory / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def load_pitch(reference: str) -> PitchNet:
    """Return the pitch network of a directory of `save_pitch`, or of a model directory or shipped name.

    Raises:
        ConfigError: it holds none.
        CheckpointError: there is no such model.
    """
    directory = Path(reference)
    if not (directory / _WEIGHTS).is_file():
        given = getattr(load_model(model_directory(reference)).model, "pitch", None)
        if not isinstance(given, PitchNet):
            raise ConfigError(f"{reference} holds no pitch network")
        return given
    try:
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        model = from_dict(PitchModel, config["architecture"])
        net = PitchNet(model.n_mels, model.pitch)
        weights = load_file(directory / _WEIGHTS)
        net.load_state_dict({name.removeprefix(_PREFIX): value for name, value in weights.items()})
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ConfigError(f"{directory} holds no pitch network: {error}") from error
    return net
