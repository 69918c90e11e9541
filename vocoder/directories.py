"""Find the directory of a model by name, path or Hugging Face repository."""

import json
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType

ASSETS = Path(__file__).parent / "assets"
GUARDS = ("guard", "guard-100")  # shipped beside the models, but cannot synthesize
MODELS: Mapping[str, str] = MappingProxyType({"nvidia": "reverse", "vocos": "reverse-24k"})
"""preset -> shipped model for its mels, and for mels that convert to it"""
MODEL_FILES = ["config.json", "model.safetensors", "README.md"]


class CheckpointError(ValueError):
    """A model directory is missing, damaged or inconsistent."""


def shipped_models() -> list[str]:
    """Return the names of the models that ship with the package."""
    return sorted(path.parent.name for path in ASSETS.glob("*/config.json") if path.parent.name not in GUARDS)


def model_directory(model: str | Path) -> Path:
    """Return a model's directory, after downloading a Hugging Face repository; raises a CheckpointError if none."""
    return local_directory(model) or download(str(model))


def local_directory(model: str | Path) -> Path | None:
    """Return a model's directory, None for a Hugging Face repository; raises a CheckpointError if it can be neither."""
    if str(model) in shipped_models():
        return ASSETS / str(model)
    if Path(model).is_dir():
        return Path(model)
    if str(model).count("/") == 1 and not Path(model).parent.is_dir():
        return None
    names = shipped_models()
    meant = "".join(f"; did you mean {name}?" for name in get_close_matches(str(model).lower(), names, n=1)) or ":"
    advice = f"give a directory, or one of the shipped names {', '.join(names)}"
    raise CheckpointError(f"there is no model {str(model)!r}{meant} {advice}")


def model_name(model: str | Path) -> str:
    """Return a model's name: `model` itself, or for the directory of a shipped model its shipped name."""
    return Path(model).name if Path(model).parent == ASSETS else str(model)


def download(repository: str) -> Path:
    """Download a Hugging Face repository, `me/voice` or `me/voice@revision`, unless it is cached; return its directory.

    Raises a CheckpointError if it does not exist or cannot be reached, or if huggingface_hub is not installed.
    """
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    except ImportError as error:
        raise CheckpointError(f"install huggingface_hub to load {repository!r} from the Hugging Face hub") from error
    name, _, revision = repository.partition("@")
    try:
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=MODEL_FILES))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError, json.JSONDecodeError) as error:
        reason = f"loading it from the Hugging Face hub failed: {error}"
        raise CheckpointError(f"there is no directory {repository!r}, and {reason}") from error
