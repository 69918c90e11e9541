import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from evaluation_corpus import steady_pitch, write_settings
from tiny_objectives import GROUPING, LAPPED, LENGTH, MARGIN, batch, model_loss, perturbed, zero_gradients
from tiny_objectives import waveglow as objective

import vocoder
from training.cli import main
from training.run_config import load_config
from training.runs.waveglow import WaveGlowRun
from vocoder.checkpoint import load_model, save_model
from vocoder.config import ConfigError
from vocoder.layers.conditioning import PitchConfig, normalised
from vocoder.mel.config import preset
from vocoder.models.waveglow import WaveGlow

HOLDER = "import sys, filelock; a = filelock.FileLock(sys.argv[1]); a.acquire(); print('held', flush=True); input()"


@pytest.mark.parametrize("config", [LAPPED, GROUPING], ids=["lapped", "grouping"])
def test_nats_equal_the_density(config):
    made = perturbed(objective(config, noise=0.0))
    padded = batch()["x"]
    mel = made.mel.frame(padded)[:, :, : LENGTH // 16]
    torch.manual_seed(3)
    torch.randn(2, LENGTH)  # the noise, scaled by 0 here, is drawn before the dither
    expected = made.model.log_prob(padded[:, MARGIN:-MARGIN] + (torch.rand(2, LENGTH) - 0.5) / 32768, mel)
    torch.manual_seed(3)
    _, parts = model_loss(made, 0)
    torch.testing.assert_close(parts["nats"], -expected.detach().mean() / LENGTH)


@pytest.mark.parametrize("config", [LAPPED, GROUPING], ids=["lapped", "grouping"])
def test_actnorms_are_initialised_by_the_first_batch(config):
    made = objective(dataclasses.replace(config, actnorm=True))
    with torch.no_grad():
        made.initialise([batch(), batch()])
        x, mel = made.segments(batch())
        first = made.model.actnorms[0]
        seen, _ = made.model.transform(x.unsqueeze(1))
        if made.model.envelope is not None:
            seen, _ = made.model.envelope(seen, normalised(mel))
        z = first(seen)[0]
    assert all(bool(actnorm.initialised) for actnorm in made.model.actnorms)
    torch.testing.assert_close(z.mean(dim=(0, 2)), torch.zeros(z.shape[1]), atol=0.1, rtol=0)
    torch.testing.assert_close(z.std(dim=(0, 2)), torch.ones(z.shape[1]), atol=0.1, rtol=0)


def test_every_parameter_gets_gradients_and_the_excitation_only_from_samples():
    for config, step, without in ((LAPPED, 20, set()), (GROUPING, 0, set()), (LAPPED, 0, {"excitation"})):
        model_loss(made := perturbed(objective(config)), step)[0].backward()
        assert {name.split(".")[0] for name in zero_gradients(made.model)} == without


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setattr("training.corpora.pitch.track_pitch", steady_pitch)
    model = {"group_size": 64, "flows": 2, "cond_channels": 4, "corrections": 1}
    model["stack"] = {"channels": 4, "dilations": [1]}
    model["source"] = {"pitch": {"channels": 4, "layers": 1, "bins": 8}}
    critics = {"channels": 4, "sizes": [512]}
    losses = {"samples_from": 1, "critics_from": 2, "bfloat16": False, "critics": critics}
    return write_settings(tmp_path, model, losses=losses)


def test_a_stopped_and_resumed_run_gives_the_same_model(settings, tmp_path, capsys, cli_error):
    arguments = ["waveglow", "--config", str(settings)]
    assert main([*arguments, f"output={tmp_path / 'once'}"]) == 0
    torch.manual_seed(123)  # the initial random state must not matter
    assert main([*arguments, f"output={tmp_path / 'stopped'}", "trainer.max_minutes=1e-6"]) == 0
    resumed = [*arguments, f"output={tmp_path / 'stopped'}", "--resume"]
    holder, pipes = [sys.executable, "-c", HOLDER, str(tmp_path / "stopped/.lock")], {"stdin": -1, "stdout": -1}
    with subprocess.Popen(holder, **pipes) as process:
        assert process.stdout.readline() == b"held\n"
        assert "another process is training in" in cli_error(main, *resumed)
        process.stdin.close()
    assert main(resumed) == 0
    assert "changed since step 1: trainer.max_minutes 1e-06 -> None\n" in capsys.readouterr().out
    once, stopped = (load_model(tmp_path / name / "last" / "model").model.state_dict() for name in ("once", "stopped"))
    assert ([name for name, value in once.items() if not torch.equal(stopped[name], value)], main(resumed)) == ([], 0)
    assert "the run is finished: to train beyond step 4, raise trainer.steps=4\n" in capsys.readouterr().out
    manifest = tmp_path / "corpus/manifest.jsonl"
    manifest.write_text(manifest.read_text().partition("\n")[2] + manifest.read_text().partition("\n")[0])
    assert "it was trained on another manifest, or this one was changed" in cli_error(main, *resumed)


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("mel=vocos", "the model at 24000 Hz: prepare the corpus into another folder with --sample-rate 24000"),
        ("segments.margin=100", "these settings follow from mel preset 'nvidia'"),
        ("model.group_size=100", "multiple of group_size"),
        ("losses.spectrl=1", ": losses has no field spectrl"),
        ("model=3", "model must be a mapping of fields, not int"),
    ],
)
def test_invalid_settings_give_one_line_errors(settings, cli_error, override, text):
    assert text in cli_error(main, "waveglow", "--config", settings, override)


def test_a_run_prints_its_progress_and_another_starts_from_its_model(settings, tmp_path, capsys, cli_error):
    assert main(["waveglow", "--config", str(settings)]) == 0
    printed = capsys.readouterr()
    assert printed.err.count("tracking the pitch: ") == 1  # once, including the held-out recordings
    starts = ["loading ", "0.0 minutes of speech, speakers: 1; 0.0"]
    starts += ["initialising from 2 batches of data", "validation after step 0: ", "step 1/4 ", "step 2/4 "]
    assert [line[: len(start)] for line, start in zip(printed.out.splitlines(), starts, strict=False)] == starts
    start = tmp_path / "run" / "last" / "model"
    shape = load_model(start).model.config
    pitch = PitchConfig(channels=6, layers=2, bins=9, ahead=1)
    other = WaveGlow(dataclasses.replace(shape, source=dataclasses.replace(shape.source, pitch=pitch)))
    save_model(tmp_path / "pitch", other, preset("nvidia"), {"data": []})
    again = ["waveglow", "--config", str(settings), f"output={tmp_path / 'more'}", "trainer.learning_rate=1e-12"]
    again += [f"start_from={start}", f"pitch_from={tmp_path / 'pitch'}"]
    assert "model.source.pitch must be {'channels': 6" in cli_error(main, *again)
    shape = [f"model.source.pitch.{name}={value}" for name, value in vars(pitch).items()]
    assert "model.flows is 2 there, 3 here" in cli_error(main, *again, "model.flows=3", *shape)
    assert "start_from wavenet is a WaveNet, not a WaveGlow" in cli_error(main, *again[:-2], "start_from=wavenet")
    assert main([*again, *shape]) == 0
    made = load_model(tmp_path / "more" / "last" / "model")
    assert (made.provenance["start_from"], made.provenance["pitch_from"]) == ("run", "pitch")
    expected = load_model(start).model.state_dict()
    expected |= {name: value for name, value in other.state_dict().items() if name.startswith("pitch.")}
    for name, value in made.model.state_dict().items():
        torch.testing.assert_close(value, expected[name])


def test_missing_settings_follow_from_the_mel_and_contradictions_are_rejected(settings):
    run = load_config(WaveGlowRun, settings, ["mel=vocos"])
    assert (run.model.sample_rate, run.model.n_mels, run.segments.margin) == (24000, 100, 512)
    with pytest.raises(ConfigError) as caught:
        load_config(WaveGlowRun, settings, ["mel=vocos", "model.sample_rate=22050", "model.n_mels=80"])
    assert "model.sample_rate is 22050 instead of 24000, model.n_mels is 80 instead of 100" in str(caught.value)
    config = load_config(WaveGlowRun, Path(__file__).resolve().parents[3] / "configs" / "waveglow.yaml")
    assert config.model == vocoder.load("waveglow").model.config
