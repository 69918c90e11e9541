"""r9y9's WaveNet compared with a slow reference that runs the network on all past samples."""

import json

import pytest
import torch
from foreign_arithmetic import generated, plain, r9y9_condition, r9y9_network
from foreign_files import r9y9_state, save
from torch.nn import functional as F

from vocoder.checkpoint import CheckpointError, load_model
from vocoder.importers.importing import import_model
from vocoder.loading import load
from vocoder.models.wavenet import WaveNet

MELS = {"num_mels": 80, "fmin": 125, "fmax": 7600, "fft_size": 1024, "hop_size": 256, "win_length": 1024}
AUDIO = {"input_type": "raw", "quantize_channels": 65536, "preprocess": "preemphasis", "global_gain_scale": 0.55}
NETWORK = {"output_distribution": "Normal", "layers": 4, "stacks": 2, "cin_pad": 2}
PRESET = {"name": "wavenet_vocoder", "sample_rate": 22050, **AUDIO, **MELS, **NETWORK}
PRESET["upsample_params"] = {"upsample_scales": [4, 4, 4, 4], "upsample_activation": "none"}
STATISTICS = {"mean": [-2.0] * 80, "variance": [0.25] * 80}
EMPHASIS, GAIN = 0.85, 0.55


def write_json(path, content):
    path.write_text(json.dumps(content))
    return path


def imported(tmp_path, state, changes=None, **more):
    file = save(tmp_path / "checkpoint_step001000000_ema.pth", state)
    config = write_json(tmp_path / "preset.json", PRESET | (changes or {}))
    import_model("r9y9-wavenet", file, tmp_path / "model", config=config, **more)
    model = load_model(tmp_path / "model").model
    assert isinstance(model, WaveNet)
    return model


def reference_audio(state, mel, pick, z):
    """Return the audio of the original: the network's output e, then de-emphasis and gain."""
    network = r9y9_network(plain(state), 4, 2)
    cond = r9y9_condition(plain(state), mel, 2, (4, 4, 4, 4))

    def sample(out, t):
        e = pick(out, z[:, t]).clamp(-1, 1)
        return e, e[:, None]

    e = generated(network, cond, sample, torch.zeros(len(mel), 1))
    x = []
    for t in range(e.shape[1]):
        x.append(e[:, t] + EMPHASIS * x[-1] if x else e[:, t])
    return torch.stack(x, dim=1) / GAIN


def gaussian(out, z):
    return out[:, 0] + out[:, 1].exp() * z


def logistic(out, z):
    """Return the quantile of a mixture of logistics, by bisection in float64."""
    logits, mu, log_s = out.double().chunk(3, dim=1)
    low, high = torch.full((len(z),), -1e3).double(), torch.full((len(z),), 1e3).double()
    for _ in range(60):
        middle = (low + high) / 2
        below = (logits.softmax(1) * ((middle[:, None] - mu) / log_s.exp()).sigmoid()).sum(1)
        above = below > torch.special.ndtr(z.double())
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    return low.float()


@pytest.mark.parametrize(("outputs", "pick", "kind"), [(2, gaussian, "Normal"), (6, logistic, "Logistic")])
def test_an_imported_model_gives_the_same_audio_as_the_original(tmp_path, outputs, pick, kind):
    state = r9y9_state(outputs)
    model = imported(tmp_path, state, {"output_distribution": kind})
    mel, z = torch.randn(2, 80, 1), torch.tensor([1.0, 20.0])[:, None, None] * torch.randn(2, 1, 256)
    x, _ = model.inverse(z, mel)
    torch.testing.assert_close(x, reference_audio(state, mel, pick, z[:, 0]), rtol=0, atol=1e-4)
    assert float(x.std()) > 0.02
    emphasised = GAIN * (x - EMPHASIS * F.pad(x[:, :-1], (1, 0)))
    assert ((emphasised[1, :-1].abs() - 1).abs() < 1e-5).any()  # the original clamps these before feeding them back


def test_statistics_become_part_of_the_mel_config(tmp_path):
    imported(tmp_path, r9y9_state(2), statistics=write_json(tmp_path / "statistics.json", STATISTICS))
    v = load(tmp_path / "model", dtype=torch.float32)
    assert v.mel_config.mean == tuple(STATISTICS["mean"])
    assert v.mel_config.variance == tuple(STATISTICS["variance"])
    assert (v.mel_config.name, v.mel_config.f_min, v.mel_config.log) == ("r9y9", 125.0, "log10")
    assert v.provenance["imported"]["step"] == 7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stacks": 3}, "stacks in the configuration must divide the 4 layers, but it is 3"),
        ({"hop_size": 300}, "hop_size is 300 in the configuration, but 256 in the weights"),
        ({"kernel_size": 2}, "kernel_size is 2 in the configuration, but 3 in the weights"),
        ({"out_channels": 30}, "out_channels is 30 in the configuration, but 2 in the weights"),
        ({"upsample_params": {"upsample_scales": [16, 16]}}, r"upsample_scales is \[16, 16\] .*, but \[4, 4, 4, 4\]"),
        ({"output_distribution": "Logistic"}, "output_distribution is Logistic in the configuration, but out_channels"),
        ({"preprocess": "mulaw"}, 'preprocess must be "" or "preemphasis" to be imported, not \'mulaw\''),
        ({"input_type": "mulaw-quantize"}, "input_type mulaw-quantize with 1 channels cannot be imported, only raw"),
        ({"upsample_params": {"upsample_activation": "ReLU"}}, "the activation 'ReLU' cannot be imported"),
        ({"global_gain_scale": "loud"}, "global_gain_scale in the configuration must be a float, not 'loud'"),
    ],
)
def test_presets_that_contradict_the_weights_are_rejected(tmp_path, changes, message):
    with pytest.raises(CheckpointError, match=message):
        imported(tmp_path, r9y9_state(2), changes)
    assert not (tmp_path / "model").exists()


def test_the_preset_is_required_and_missing_statistics_are_noted(tmp_path):
    with pytest.raises(CheckpointError, match="how dilations repeat: give the model's preset"):
        import_model("r9y9-wavenet", save(tmp_path / "a.pth", r9y9_state(2)), tmp_path / "model")
    imported(tmp_path, r9y9_state(2))
    checkpoint = load_model(tmp_path / "model")
    assert checkpoint.mel_config.name == "r9y9-without-statistics"
    assert any("normalised" in note for note in checkpoint.provenance["notes"])
    assert "normalised" in (tmp_path / "model" / "README.md").read_text()
