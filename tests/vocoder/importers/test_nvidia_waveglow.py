import json

import pytest
import torch
from foreign_arithmetic import plain, waveglow_audio
from foreign_files import EXITS, pickled_waveglow, renamed, save, waveglow_state

from vocoder.checkpoint import CheckpointError, load_model
from vocoder.importers.importing import import_model

FRAMING = {"sampling_rate": 22050, "filter_length": 1024, "hop_length": 256, "win_length": 1024}
CONFIG = {"data_config": FRAMING | {"mel_fmin": 0.0, "mel_fmax": 8000.0}}


@pytest.fixture
def inputs():
    return torch.randn(2, 8, 3 * 32), torch.randn(2, 5, 3)


def imported(tmp_path, file, **more):
    import_model("nvidia-waveglow", file, tmp_path / "model", **more)
    return load_model(tmp_path / "model").model


def check(model, state, inputs):
    z, mel = inputs
    with torch.no_grad():
        x, _ = model.inverse(z, mel)
        expected = waveglow_audio(plain(state), z, mel, EXITS)
        again, _ = model(x, mel)
    torch.testing.assert_close(x, expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(again, z, rtol=0, atol=1e-3)
    assert float(x.std()) > 0.1


@pytest.mark.parametrize("older", ["", "legacy", "split", "split_cond", "split split_cond"])
def test_a_pickled_module_gives_the_same_audio_as_the_original_without_its_class(tmp_path, inputs, older):
    """Zip archives and older files, with split or joint residual and skip layers and condition layers."""
    state = waveglow_state(**dict.fromkeys(older.replace("legacy", "").split(), True))
    check(imported(tmp_path, pickled_waveglow(tmp_path / "a.pt", state, legacy=older == "legacy")), state, inputs)


def test_modules_of_glow_old_are_rejected(tmp_path):
    file = pickled_waveglow(tmp_path / "waveglow.pt", waveglow_state(split_cond=True), module="glow_old")
    with pytest.raises(CheckpointError, match=r"glow_old\.py cannot be imported"):
        import_model("nvidia-waveglow", file, tmp_path / "model")


def test_checkpoints_of_deep_learning_examples_are_imported(tmp_path, inputs):
    state = waveglow_state(split_cond=True)
    content = {
        "epoch": 1000,
        "cuda_rng_state_all": [torch.zeros(16, dtype=torch.uint8)],
        "random_rng_state": torch.zeros(5056, dtype=torch.uint8),
        "state_dict": renamed(state, "module."),
        "optimizer": {"state": {}, "param_groups": []},
    }
    file = save(tmp_path / "checkpoint_WaveGlow_last.pt", content, wrapped=False)
    check(imported(tmp_path, file), state, inputs)
    assert "glow_old.py" in load_model(tmp_path / "model").provenance["notes"][0]


@pytest.mark.parametrize("form", ["folded", "parametrizations", "module.", "model", "half", "bare"])
def test_every_form_of_weights_is_imported(tmp_path, inputs, form):
    state = written = waveglow_state()
    if form in ("folded", "parametrizations", "module."):
        written = renamed(state, form)
    if form == "half":
        written = {name: value.half() for name, value in state.items()}
        state = {name: value.float() for name, value in written.items()}
    content = {"model": {"state_dict": written}} if form == "model" else written
    file = save(tmp_path / "waveglow.pt", content, wrapped=form not in ("model", "bare"))
    check(imported(tmp_path, file), state, inputs)


def test_provenance_and_mel_config_are_stored(tmp_path):
    file = pickled_waveglow(tmp_path / "waveglow_5.pt", waveglow_state())
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    imported(tmp_path, file, config=tmp_path / "config.json")
    checkpoint = load_model(tmp_path / "model")
    origin = checkpoint.provenance["imported"]
    assert (origin["layout"], origin["file"], origin["module"]) == ("nvidia-waveglow", file.name, "glow.WaveGlow")
    assert (origin["step"], len(origin["sha256"])) == (580000, 64)
    mel = checkpoint.mel_config
    assert (mel.sample_rate, mel.n_fft, mel.hop_length, mel.f_max, mel.n_mels) == (22050, 1024, 256, 8000.0, 5)
    assert origin["sha256"] in (tmp_path / "model" / "README.md").read_text()


LISTED = r"missing: WN\.1\.end\.bias, WN\.5\.in_layers\.2\.weight; .*WN\.9\.extra.*bias \(7,\) instead of \(5,\)"
MISSING = "WN.1.end.bias", "WN.5.in_layers.2.weight_g", "WN.5.in_layers.2.weight_v"
SPLIT = "WN.1.cond_layer.weight_g", "WN.1.cond_layer.weight_v"
PARTS = [f"WN.1.cond_layers.{i}.weight" for i in range(3)]
REJECTED = {
    LISTED: (MISSING, {"WN.9.extra": torch.zeros(1), "upsample.bias": torch.zeros(7)}, {}),
    r"weight norm of WN\.0\.start\.weight lacks WN\.0\.start\.weight_g": (("WN.0.start.weight_g",), {}, {}),
    r"WN\.0\.start\.weight has 6 magnitudes for directions \(\)": ((), {"WN.0.start.weight_v": torch.zeros(())}, {}),
    "nvidia-waveglow are missing or of a wrong shape: zero-dim": (SPLIT, dict.fromkeys(PARTS, torch.zeros(())), {}),
    r"not finite numbers, for condition\.upsample\.bias": ((), {"upsample.bias": torch.full((5,), torch.nan)}, {}),
    "hop_length is 300 in the configuration": ((), {}, {"data_config": {"hop_length": 300}}),
    "sampling_rate in the configuration must be a int": ((), {}, {"data_config": {"sampling_rate": "fast"}}),
    r"data_config in the configuration must be a dict, not \[1\]": ((), {}, {"data_config": [1]}),
}


@pytest.mark.parametrize("message", REJECTED)
def test_invalid_weights_and_configurations_are_rejected(tmp_path, message):
    missing, changed, config = REJECTED[message]
    state = {name: value for name, value in waveglow_state().items() if name not in missing} | changed
    (tmp_path / "config.json").write_text(json.dumps(config))
    file = save(tmp_path / "waveglow.pt", state)
    with pytest.raises(CheckpointError, match=message):
        import_model("nvidia-waveglow", file, tmp_path / "model", config=tmp_path / "config.json")
    assert not (tmp_path / "model").exists()
