"""Repositories of the Hugging Face hub, played by a cache folder: nothing here reaches for a network."""

from __future__ import annotations

import fnmatch
import shutil
from pathlib import Path
from typing import Any

import httpx
import huggingface_hub
import pytest
import torch
from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError
from tiny_models import TINY_MEL, tiny_waveglow

from vocoder.checkpoint import CheckpointError, save_model
from vocoder.cli import main
from vocoder.hub import push_to_hub
from vocoder.loading import load

COMMITS = ("0" * 39 + "1", "0" * 39 + "2")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The hub client offline, with a cache of its own; what is uploaded appears in the cache as the newest commit."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    def create_repo(_: Any, repo_id: str, private: bool, exist_ok: bool) -> str:
        assert exist_ok
        (folder / f"models--{repo_id.replace('/', '--')}").mkdir(parents=True, exist_ok=True)
        return f"https://huggingface.co/{repo_id}{'?private' if private else ''}"

    def upload_folder(_: Any, repo_id: str, folder_path: str, allow_patterns: list[str], commit_message: str) -> None:
        repository = folder / f"models--{repo_id.replace('/', '--')}"
        commit = COMMITS[len(list(repository.glob("snapshots/*")))]
        snapshot = repository / "snapshots" / commit
        snapshot.mkdir(parents=True)
        for path in Path(folder_path).iterdir():
            if any(fnmatch.fnmatch(path.name, pattern) for pattern in allow_patterns):
                shutil.copy(path, snapshot)
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / "main").write_text(commit)
        (repository / "message").write_text(commit_message)

    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", create_repo)
    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", upload_folder)
    return folder


@pytest.fixture
def model(tmp_path):
    directory = save_model(tmp_path / "model", tiny_waveglow("grouping"), TINY_MEL, {"data": "none"}, {"stoi": 0.9})
    (directory / "secret.txt").write_text("not for others")
    return directory


def test_what_is_pushed_is_loaded_by_its_id(cache, model):
    assert push_to_hub(model, "me/voice") == "https://huggingface.co/me/voice"
    v, ours = load("me/voice", dtype=torch.float32), load(model, dtype=torch.float32)
    assert (v.name, v.mel_config, v.provenance, v.quality) == ("me/voice", TINY_MEL, {"data": "none"}, {"stoi": 0.9})
    mel = torch.randn(5, 12) - 6
    assert torch.equal(v.synthesize(mel, seed=4), ours.synthesize(mel, seed=4))
    assert (cache / "models--me--voice" / "message").read_text() == "A waveglow vocoder for mels of preset tiny"
    names = {path.name for path in (cache / "models--me--voice" / "snapshots" / COMMITS[0]).iterdir()}
    assert names == {"config.json", "model.safetensors", "README.md"}


def test_a_revision_stays_what_it_was(cache, model, tmp_path):
    push_to_hub(model, "me/voice")
    save_model(model, tiny_waveglow("lapped"), TINY_MEL)
    push_to_hub(model, "me/voice")
    assert load("me/voice").model.config.transform == "mdct"
    assert load(f"me/voice@{COMMITS[0]}").model.config.transform == "grouping"


def test_what_does_not_load_is_not_shared(cache, model, capsys):
    (model / "model.safetensors").write_bytes(b"damaged")
    assert main(["push", str(model), "me/voice"]) == 2
    assert "damaged" in capsys.readouterr().err
    assert not cache.exists()


def refusal(*_: Any, **__: Any) -> None:
    request = httpx.Request("POST", "https://huggingface.co/api")
    raise HfHubHTTPError("401: who are you?", response=httpx.Response(401, request=request))


@pytest.mark.parametrize("method", ["create_repo", "upload_folder"])
def test_a_refusal_of_the_hub_is_passed_on(cache, model, monkeypatch, method):
    monkeypatch.setattr(huggingface_hub.HfApi, method, refusal)
    with pytest.raises(CheckpointError, match=r"cannot share .* as 'me/voice': 401: who are you\?"):
        push_to_hub(model, "me/voice")


def test_an_unknown_repository_is_named(cache):
    with pytest.raises(CheckpointError, match="cannot load 'nobody/nothing' from the Hugging Face hub"):
        load("nobody/nothing")
