"""Find the directory of a model by name, path or Hugging Face repository."""

import json
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType

ASSETS = Path(__file__).parent / "assets"
GUARDS = ("guard", "guard-100")  # ship beside the models, and synthesize nothing
MODELS: Mapping[str, str] = MappingProxyType({"nvidia": "reverse", "vocos": "reverse-24k"})
"""the shipped model to take for mels of a preset, and for those that convert to it"""
MODEL_FILES = ["config.json", "model.safetensors", "README.md"]


class CheckpointError(ValueError):
    """A model directory is missing, damaged or not what it says."""


def shipped_models() -> list[str]:
    """Return the names of the models that come with the package."""
    return sorted(path.parent.name for path in ASSETS.glob("*/config.json") if path.parent.name not in GUARDS)


def model_directory(model: str | Path) -> Path:
    """Return the directory of a model, downloading a Hugging Face repository if the name is of one.

    Raises a CheckpointError if there is no such model.
    """
    if str(model) in shipped_models():
        return ASSETS / str(model)
    if Path(model).is_dir():
        return Path(model)
    if str(model).count("/") == 1 and not Path(model).parent.is_dir():
        return download(str(model))
    names = shipped_models()
    meant = "".join(f"; did you mean {name}?" for name in get_close_matches(str(model), names, n=1)) or ":"
    raise CheckpointError(
        f"there is no model {str(model)!r}{meant} give a directory, or one of the shipped names {', '.join(names)}"
    )


def model_name(model: str | Path) -> str:
    """Return what to call a model: what was asked for, or the name of a shipped one whose directory was."""
    return Path(model).name if Path(model).parent == ASSETS else str(model)


def download(repository: str) -> Path:
    """Return the directory of a repository's files, fetched or from the cache.

    The repository is an id such as `me/voice`, or `me/voice@revision` with a branch, a tag or a commit. Raises a
    CheckpointError if there is none, it cannot be reached, or huggingface_hub is not installed.
    """
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    except ImportError as error:
        raise CheckpointError(f"to load {repository!r} from the Hugging Face hub, install huggingface_hub") from error
    name, _, revision = repository.partition("@")
    try:
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=MODEL_FILES))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError, json.JSONDecodeError) as error:
        raise CheckpointError(f"cannot load {repository!r} from the Hugging Face hub: {error}") from error
