"""Loading models by name, by directory and from the Hugging Face hub, simulated by an offline cache."""

from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from tiny_models import TINY_MEL, tiny_waveglow

from vocoder import directories, loading
from vocoder.checkpoint import CheckpointError, save_model
from vocoder.loading import DEFAULT_MODEL, DeviceError, load, model_directory


@pytest.fixture
def assets(tmp_path, monkeypatch):
    """Return a folder of two shipped models and a folder without one."""
    folder = tmp_path / "assets"
    for name in ("second", "first"):
        save_model(folder / name, tiny_waveglow("lapped"), TINY_MEL)
    (folder / "pictures").mkdir()
    monkeypatch.setattr(directories, "ASSETS", folder)
    return folder


def test_shipped_models_are_loaded_by_name_and_unknown_names_list_them(assets):
    v = load("first", dtype=torch.float32)
    assert (v.name, v.family, v.dtype) == ("first", "waveglow", torch.float32)
    assert load(assets / "second").name == "second"
    for name, hint in {"third": ": give a directory, .* first, second", "secund": r"; did you mean second\?"}.items():
        with pytest.raises(CheckpointError, match=f"no model '{name}'{hint}"):
            load(name)
    save_model(assets / DEFAULT_MODEL, tiny_waveglow("lapped"), TINY_MEL)
    assert load().name == DEFAULT_MODEL


@pytest.mark.parametrize("kind", [str, Path])
def test_a_model_directory_is_loaded_by_path(assets, tmp_path, kind):
    directory = save_model(tmp_path / "mine", tiny_waveglow("lapped"), TINY_MEL)
    assert load(kind(directory)).name == str(directory)
    assert model_directory(kind(directory)) == directory


@pytest.mark.parametrize("device", ["toaster", "cuda:77"])
def test_missing_devices_are_rejected_before_loading(assets, device):
    with pytest.raises(DeviceError, match=f"device '{device}' cannot be used: "):
        load("nothing", device)


def test_imported_models_use_float32_by_default(assets, tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "default_dtype", lambda device: torch.bfloat16)
    origin = {"imported": {"layout": "nvidia-waveglow", "file": "a.pt"}}
    directory = save_model(tmp_path / "mine", tiny_waveglow("lapped"), TINY_MEL, provenance=origin)
    assert load("first").dtype == torch.bfloat16
    assert load(directory).dtype == torch.float32
    assert load(directory, dtype=torch.bfloat16).dtype == load(directory, dtype="bfloat16").dtype == torch.bfloat16


def test_integers_are_the_default_where_they_exist_and_refused_where_they_do_not(assets, monkeypatch):
    monkeypatch.setattr(loading, "default_dtype", lambda device: torch.bfloat16)
    for quads, code in ((True, 1), (False, 1), (True, None)):
        monkeypatch.setattr(loading, "multiplies_quads", lambda quads=quads: quads)
        monkeypatch.setattr(loading, "kernel", lambda *names, code=code: code)  # None without numba
        expected = torch.int8 if quads and code else torch.bfloat16
        assert loading.own_dtype("reverse", {}, "cpu") == expected
        for family, origin, device in (("waveglow", {}, "cpu"), ("reverse", {}, "cuda"), ("unknown", {}, "cpu")):
            assert loading.own_dtype(family, origin, device) == torch.bfloat16
        assert loading.own_dtype("reverse", {"imported": {}}, "cpu") == torch.float32
    with pytest.raises(DeviceError, match=r"int8 needs .* family reverse, .* VNNI, .* first is .* leave dtype out"):
        load("first", dtype=torch.int8)
    with pytest.raises(TypeError, match=r"must be torch\.int8 or a floating-point .*, not torch\.int16"):
        load("first", dtype=torch.int16)
    with pytest.raises(TypeError, match="model must be a name, a directory or a repository id, not None"):
        load(None)


COMMITS = ("0" * 39 + "1", "0" * 39 + "2")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Put the hub client offline, with a cache of two commits of one repository."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    repository = tmp_path / "models--me--voice"
    for commit, kind in zip(COMMITS, ("grouping", "lapped"), strict=True):
        save_model(repository / "snapshots" / commit, tiny_waveglow(kind), TINY_MEL)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMITS[1])
    return repository


def test_hub_models_are_loaded_by_id_and_by_revision(cache):
    ours, mel = load(cache / "snapshots" / COMMITS[1], dtype=torch.float32), torch.randn(5, 12) - 6
    torch.set_default_dtype(torch.bfloat16)  # neither this nor another default device matters
    with torch.device("meta"):
        v = load("me/voice", dtype=torch.float32)
    assert (v.name, v.mel_config) == ("me/voice", TINY_MEL)
    assert torch.equal(v.synthesize(mel, seed=4), ours.synthesize(mel, seed=4))
    assert load(f"me/voice@{COMMITS[0]}").model.config.transform == "grouping"
    with pytest.raises(CheckpointError, match="no directory 'nobody/nothing', and loading it from the Hugging Face"):
        load("nobody/nothing")
    with pytest.raises(CheckpointError, match="guard holds a guard, which cannot synthesize"):
        load(directories.ASSETS / "guard")
