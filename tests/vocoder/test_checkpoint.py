import itertools
import json
import os
import resource
import signal
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import TINY_CONFIGS, TINY_MEL, perturbed, tiny_waveglow

from vocoder import files
from vocoder.checkpoint import CheckpointError, load_model, save_model
from vocoder.config import to_dict
from vocoder.loading import model_directory, shipped_models
from vocoder.mel.config import preset
from vocoder.models.waveglow import WaveGlow

UNEVEN = {"lpc": {"subframes": 3}}  # a fault that is found when the model is built
PRECISION = {torch.float32: 0.0, torch.float16: 2**-11, torch.bfloat16: 2**-8}


@pytest.fixture
def saved(tmp_path):
    return save_model(tmp_path / "model", tiny_waveglow("lapped"), TINY_MEL)


def edit(directory, **changes):
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"config_sha256": None} | changes))


@pytest.mark.parametrize("kind", TINY_CONFIGS)
@pytest.mark.parametrize("dtype", PRECISION, ids=str)
def test_weights_are_stored_to_the_precision_of_the_file(tmp_path, kind, dtype):
    model = tiny_waveglow(kind)
    checkpoint = load_model(save_model(tmp_path, model, TINY_MEL, dtype=dtype))
    assert isinstance(checkpoint.model, WaveGlow)
    assert checkpoint.model.config == model.config
    assert not checkpoint.model.training
    state, loaded = model.state_dict(), checkpoint.model.state_dict()
    assert state.keys() == loaded.keys()
    for name, value in loaded.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, state[name], rtol=PRECISION[dtype], atol=1e-7 if PRECISION[dtype] else 0)


def test_saving_replaces_the_model_and_keeps_its_card(saved):
    (saved / "README.md").write_text("my card")
    model = tiny_waveglow("grouping")
    save_model(saved, model, TINY_MEL)
    assert load_model(saved).model.config == model.config
    assert (saved / "README.md").read_text() == "my card"
    save_model(saved, model, TINY_MEL, card="another card")
    assert (saved / "README.md").read_text() == "another card"


def test_damaged_weights_and_configurations_are_rejected(saved):
    path = saved / "config.json"
    content = json.loads(path.read_text())
    for name in content.keys() - {"format_version"}:
        path.write_text(json.dumps(content | {name: "0" * 64}))
        with pytest.raises(CheckpointError, match=r"config\.json is damaged or was changed"):
            load_model(saved)
    path.write_text(json.dumps(dict(reversed(content.items())), indent=7))  # the same content, formatted differently
    assert load_model(saved).weights_sha256 == content["weights_sha256"]
    weights = bytearray((saved / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (saved / "model.safetensors").write_bytes(weights)
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged or of another model: its SHA-256"):
        load_model(saved)


def test_a_directory_without_checksums_is_loaded_with_a_warning(saved, caplog):
    assert load_model(saved).weights_sha256 is not None
    assert caplog.records == []
    edit(saved, weights_sha256=None)
    assert load_model(saved).weights_sha256 is None
    assert "has no checksums" in caplog.text


@pytest.mark.parametrize("name", shipped_models())
def test_shipped_models_have_checksums(name, caplog):
    load_model(model_directory(name))
    assert caplog.records == []


INVALID_CONFIGS = [
    ({"family": "melgan"}, "a known model: 'melgan'"),
    ({"family": ["waveglow"]}, "a known model"),
    ({"architecture": None}, "architecture must be a mapping"),
    ({"mel": {"name": "tiny"}}, "mel lacks sample_rate"),
    ({"family": "wavenet", "architecture": UNEVEN, "mel": to_dict(preset("nvidia"))}, "a known model: hop_length 256"),
    ({"quality": [1]}, "provenance and quality must be objects in"),
    ({"format_version": 2}, "must be a JSON object with format_version 1"),
]
INVALID_ARCHITECTURES = [
    ({"colour": "red"}, "architecture has no field colour"),
    ({"flows": "three"}, "architecture.flows must be int, not 'three'"),
    ({"group_size": 0}, "group_size must be at least 1"),
    ({"n_mels": 6}, "has n_mels 6 in the model, 5 in the mel"),
    ({"corrections": 10**9}, "corrections must be at least 0 and at most 100, not 1000000000"),
    ({"flows": 10**6}, "architecture.flows must be a number up to 256"),
    ({"sigma": 1e9}, "architecture.sigma must be a number up to 100, not 1000000000.0"),
    ({"sigma": float("nan")}, "sigma must be at least 0, not nan"),
    ({"upsample_kernel": 10**12}, "architecture.upsample_kernel must be a number up to"),
    ({"cond_channels": 2**18}, "architecture.cond_channels must be a number up to 4096"),  # would need a terabyte
    ({"cond_channels": 2**12}, r"does not fit its config\.json: it has far too few weights"),
]


def test_invalid_configurations_are_rejected(saved):
    before = json.loads((saved / "config.json").read_text()) | {"config_sha256": None}
    cases = [({"architecture": before["architecture"] | change}, text) for change, text in INVALID_ARCHITECTURES]
    cases += [*INVALID_CONFIGS, ({"mel": before["mel"] | {"n_mels": 2**30}}, "n_mels must be at least 1 and at most")]
    for change, message in cases:
        edit(saved, **before | change)
        with pytest.raises(CheckpointError, match=message):
            load_model(saved)
    for text in ("{", "[1]", "[" * 50000):
        (saved / "config.json").write_text(text)
        with pytest.raises(CheckpointError, match=r"config\.json (is not valid JSON|must be a JSON object)"):
            load_model(saved)
    (saved / "config.json").unlink()
    with pytest.raises(CheckpointError, match="is not a model directory"):
        load_model(saved)
    os.mkfifo(saved / "config.json")
    with pytest.raises(CheckpointError):
        load_model(saved)


def test_weights_that_do_not_fit_are_rejected(saved):
    tensors = load_file(saved / "model.safetensors")
    edit(saved, weights_sha256=None)
    name = next(iter(tensors))
    for invalid in (tensors | {"extra.weight": torch.zeros(1)}, {n: v for n, v in tensors.items() if n != name}):
        save_file(invalid, saved / "model.safetensors")
        with pytest.raises(CheckpointError, match=r"does not fit its config\.json"):
            load_model(saved)
    (saved / "model.safetensors").write_bytes(b"not a tensor in here")
    with pytest.raises(CheckpointError, match="is not a safetensors file"):
        load_model(saved)
    (saved / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors is missing"):
        load_model(saved)


def killed_at_step(step, work):
    """Do work in a fork, kill it at its step-th call or return in `vocoder.files`, and return whether it was killed."""
    steps = itertools.count(1)

    def watch(frame, event, _):
        if frame.f_code.co_filename == files.__file__ and next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    if not (child := os.fork()):
        sys.setprofile(watch)
        work()
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def test_a_model_can_be_loaded_whenever_saving_is_killed(saved):
    """On systems that cannot exchange directories this holds except between two files."""
    (saved / "notes.txt").write_text("mine")
    models = [tiny_waveglow("lapped"), tiny_waveglow("grouping")]
    found = set()
    for step in itertools.count(1, 3):
        if not killed_at_step(step, lambda: save_model(saved, models[step % 2], TINY_MEL)):  # noqa: B023
            break
        found.add(load_model(saved).model.config)
        assert (saved / "README.md").exists()
    assert step > 20
    assert found == {model.config for model in models}
    assert load_model(saved).model.config == models[step % 2].config
    assert (saved / "notes.txt").read_text() == "mine"


def test_a_full_disk_keeps_the_old_model(saved):
    """A limit on file sizes simulates a full disk."""
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (64, limits[1]))
        for directory in (saved, saved.parent / "new"):
            with pytest.raises(OSError, match=r"cannot write .*model\.safetensors|File too large"):
                save_model(directory, perturbed(tiny_waveglow("lapped")), TINY_MEL)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before
    assert [path.name for path in saved.parent.iterdir()] == ["model"]
