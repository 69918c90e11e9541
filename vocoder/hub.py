"""Fetch model directories that are repositories of the Hugging Face hub; `hf upload` shares one."""

from __future__ import annotations

import json
from pathlib import Path

from vocoder.checkpoint import CheckpointError

MODEL_FILES = ["config.json", "model.safetensors", "README.md"]


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
