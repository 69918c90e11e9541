"""Model directories as repositories of the Hugging Face hub: fetch one, share one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vocoder.checkpoint import Checkpoint, CheckpointError, load_model

MODEL_FILES = ("config.json", "model.safetensors", "README.md")
"""what a repository holds: exactly a model directory"""


def download(repository: str) -> Path:
    """Return the directory of a repository's files, fetched or from the cache.

    Args:
        repository: an id such as `me/voice`, or `me/voice@revision` with a branch, a tag or a commit.

    Raises:
        CheckpointError: there is no such repository, it cannot be reached, or huggingface_hub is not installed.
    """
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    except ImportError as error:
        raise CheckpointError(f"to load {repository!r} from the Hugging Face hub, install huggingface_hub") from error
    name, _, revision = repository.partition("@")
    try:
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=list(MODEL_FILES)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError, json.JSONDecodeError) as error:
        raise CheckpointError(f"cannot load {repository!r} from the Hugging Face hub: {error}") from error


def push_to_hub(
    directory: Path | str,
    repository: str,
    *,
    private: bool = False,
    message: str | None = None,
) -> str:
    """Share a model directory as a repository, with the token that `hf auth login` keeps, and return its address.

    Args:
        directory: of the model, which is loaded first: what does not load is not shared.
        repository: an id such as `me/voice`.
        private: whether the repository is private, if it is new.
        message: of the commit.

    Raises:
        CheckpointError: the directory holds no sound model, huggingface_hub is not installed, or the hub refuses.
    """
    checkpoint = load_model(directory)
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    except ImportError as error:
        raise CheckpointError(f"to share a model as {repository!r}, install huggingface_hub") from error
    api: Any = HfApi()
    try:
        url = api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repository,
            folder_path=str(directory),
            allow_patterns=list(MODEL_FILES),
            commit_message=message or _message(checkpoint),
        )
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise CheckpointError(f"cannot share {directory} as {repository!r}: {error}") from error
    return str(url)


def _message(checkpoint: Checkpoint) -> str:
    return f"A {checkpoint.family} vocoder for mels of preset {checkpoint.mel_config.name}"
