"""Repositories of the Hugging Face hub, played by a cache folder: nothing here reaches for a network."""

from __future__ import annotations

import pytest
import torch
from huggingface_hub import constants
from tiny_models import TINY_MEL, tiny_waveglow

from vocoder.checkpoint import CheckpointError, save_model
from vocoder.loading import load

COMMITS = ("0" * 39 + "1", "0" * 39 + "2")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The hub client offline, with a cache of two commits of one repository."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    repository = tmp_path / "models--me--voice"
    for commit, kind in zip(COMMITS, ("grouping", "lapped"), strict=True):
        save_model(repository / "snapshots" / commit, tiny_waveglow(kind), TINY_MEL)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMITS[1])
    return repository


def test_a_model_is_loaded_by_its_id_and_a_revision_stays_what_it_was(cache):
    v, ours = (load(name, dtype=torch.float32) for name in ("me/voice", cache / "snapshots" / COMMITS[1]))
    assert (v.name, v.mel_config) == ("me/voice", TINY_MEL)
    mel = torch.randn(5, 12) - 6
    assert torch.equal(v.synthesize(mel, seed=4), ours.synthesize(mel, seed=4))
    assert load(f"me/voice@{COMMITS[0]}").model.config.transform == "grouping"
    with pytest.raises(CheckpointError, match="cannot load 'nobody/nothing' from the Hugging Face hub"):
        load("nobody/nothing")
