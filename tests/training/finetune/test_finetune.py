"""Fine-tuning from a folder of recordings to a model directory with a card and a licence."""

import re
import sys
from functools import partial
from itertools import chain
from unittest.mock import Mock

import numpy as np
import pytest
import soundfile
import torch
from evaluation_corpus import RATE, steady_pitch, voice

import vocoder
from training.cli import main
from training.corpora.manifest import read_manifest
from training.critics import CRITICS_FILE, Adversary, CriticConfig, critics_beside
from training.evaluate import comparison
from training.evaluate.candidates import griffin_lim
from training.evaluate.metrics import METRICS
from training.finetune import budget, steps
from training.finetune import recipe as recipe_module
from training.finetune import recordings as recordings_module
from training.finetune.recipe import Start, written_run
from training.loop.processes import Interruption
from training.runs import recordings as runs_module
from vocoder.checkpoint import load_model, save_model
from vocoder.layers.conditioning import PitchConfig
from vocoder.layers.source import SourceConfig
from vocoder.layers.spectrum_head import SpectrumHeadConfig
from vocoder.layers.stack.wavenet import WaveNetConfig
from vocoder.loading import model_directory
from vocoder.mel.config import preset
from vocoder.mel.spectrogram import MelSpectrogram
from vocoder.models.reverse import Reverse, ReverseConfig
from vocoder.models.waveglow import WaveGlow, WaveGlowConfig

CRITICS = CriticConfig(sizes=(512,), channels=2, length=4096)
SOURCE = SourceConfig(pitch=PitchConfig(channels=4, layers=1, bins=8))
REVERSE = {"cond_channels": 4, "channels": 8, "hidden": 8, "blocks": 2, "kernel_size": 3, "ahead": 1}
DATA = [{"corpus": "old", "hours": 1.0, "licence": "CC-BY-3.0", "attribution": "by Old", "speakers": ["old"]}]


def tiny(folder, model):
    """Save a model with its critics and the data it was trained on."""
    save_model(folder, model, preset("nvidia"), {"data": DATA})
    Adversary(CRITICS, RATE, torch.float32).save(folder)
    return folder


@pytest.fixture
def start(tmp_path):
    stack = WaveNetConfig(channels=4, dilations=(1,))
    config = WaveGlowConfig(flows=2, cond_channels=4, stack=stack, source=SOURCE, group_size=64, corrections=1)
    return tiny(tmp_path / "start", WaveGlow(config))


@pytest.fixture
def recordings(tmp_path):
    (folder := tmp_path / "recordings").mkdir()
    for i in range(9):
        soundfile.write(folder / f"{i}.wav", voice(110.0 + 10 * i, 1.0, seed=i), RATE, subtype="PCM_16")
    soundfile.write(folder / "silent.wav", np.zeros(RATE), RATE)
    return folder


@pytest.fixture(autouse=True)
def _quick(monkeypatch, tmp_path):
    monkeypatch.setattr(steps, "missing_judges", dict)
    monkeypatch.setattr("training.corpora.pitch.track_pitch", steady_pitch)
    monkeypatch.setattr(comparison, "METRICS", tuple(m for m in METRICS if m.name in ("stft_distance", "stoi")))
    monkeypatch.setattr(comparison, "griffin_lim", partial(griffin_lim, iterations=1))
    monkeypatch.setattr(recipe_module, "TIMED_STEPS", 1)
    small = recipe_module.RECIPE.read_text().replace("items: 24", "items: 2").replace("length: 16384", "length: 4096")
    (tmp_path / "recipe.yaml").write_text(re.sub("batch_size: .", "batch_size: 2", small))
    monkeypatch.setattr(recipe_module, "RECIPE", tmp_path / "recipe.yaml")
    monkeypatch.setattr(budget, "FEWEST_STEPS", 4)
    monkeypatch.setattr(recordings_module, "LEAST_SECONDS", 5.0)


def command(start, recordings, tmp_path, *more):
    defaults = {"-o": str(tmp_path / "mine"), "--licence": "CC0-1.0", "--start-from": str(start), "--jobs": "1"}
    return ["finetune", str(recordings), *chain(*(pair for pair in defaults.items() if pair[0] not in more)), *more]


def with_espnet_mels(arguments, recordings):
    """Write mels of the recordings with another preset; return the arguments that use them."""
    extract = MelSpectrogram(preset("espnet"))
    for path in recordings.glob("[0-9].wav"):
        x = torch.from_numpy(soundfile.read(path, dtype="float32")[0])
        np.save(path.with_suffix(".npy"), extract(x[None])[0].numpy())
    return [*arguments, "--mels", str(recordings), "--mel", "espnet"]


def test_recordings_become_a_model_that_is_not_worse(start, recordings, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "bin" / "vocoder-train")])
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "vocoder-serve").touch()
    assert main(command(start, recordings, tmp_path, "--minutes", "0.01")) == 0
    printed = capsys.readouterr().out
    expected = ("1 of 4", "silent", "initialising from 1 batch of", "step 0: score", "for the first, about", "4 of 4")
    assert [text for text in expected if text not in printed] == []
    assert "licence of the weights: CC-BY-3.0 (old), CC0-1.0 (mine)" in printed
    assert "--resume" not in printed
    assert max(len(line) for line in printed.splitlines() if line.startswith("step ")) < 80
    assert "serve it: bin/vocoder-serve --model mine\n" in printed
    assert "try it:   vocoder resynthesize mine.run/corpus/audio/" in printed
    assert ("are published: STOI got better" in printed) != ("The starting weights of" in printed)
    assert ("The starting weights of" in printed) == ("the better of the trained weights are in mine.run/" in printed)
    manifest = read_manifest(tmp_path / "mine.run" / "corpus")
    assert sorted(entry.split for entry in manifest.entries) == ["test"] * 3 + ["train"] * 6
    card = (tmp_path / "mine" / "README.md").read_text()
    assert "| old | 1.00 | CC-BY-3.0 | by Old |" in card
    assert "## Fine-tuning" in card
    assert (tmp_path / "mine" / "critics.safetensors").is_file()
    model = vocoder.load(tmp_path / "mine", guard="off")
    mel = MelSpectrogram(model.mel_config)(torch.from_numpy(voice(120.0, 1.0))[None])[0]
    assert np.isfinite(model.synthesize(mel.numpy(), seed=1)).all()


def test_a_reverse_model_learns_from_samples_with_critics_from_the_start(recordings, tmp_path, capsys, cli_error):
    reverse_start = tiny(tmp_path / "start", Reverse(ReverseConfig(**REVERSE, source=SOURCE, corrections=1)))
    assert main(command(reverse_start, recordings, tmp_path, "--steps", "5")) == 0
    assert "model/recorded" not in capsys.readouterr().out
    config = written_run(tmp_path / "mine.run" / "training" / "config.yaml")
    assert (config.start_from, config.losses.critics) == (str(reverse_start), CRITICS)
    last = load_model(tmp_path / "mine.run" / "training" / "last" / "model")
    given = load_model(reverse_start).model.state_dict()
    assert any(not torch.equal(value, given[name]) for name, value in last.model.state_dict().items())
    assert load_model(tmp_path / "mine").family == "reverse"
    wrong = ((["--steps", "6"], "has 5 steps"), (["--licence", "MIT"], "must be CC0-1.0, as in this run"))
    for more, text in (*wrong, (["--only-above-mel"], "trains all weights")):
        assert text in cli_error(main, *command(reverse_start, recordings, tmp_path, *more), "--resume")


def test_what_is_above_the_mel_can_be_trained_alone(start, recordings, tmp_path, cli_error):
    head = SpectrumHeadConfig(preset("nvidia"))
    model = Reverse(ReverseConfig(**REVERSE, source=SOURCE, corrections=1, head=head))
    arguments = command(tiny(tmp_path / "headed", model), recordings, tmp_path, "--only-above-mel", "--steps", "5")
    assert main(arguments) == 0
    last = load_model(tmp_path / "mine.run" / "training" / "last" / "model").model.state_dict()
    moved = {k: value != last[k] for k, value in model.state_dict().items() if not torch.equal(value, last[k])}
    assert set(moved) == {"head.end.weight", "head.end.bias"}
    assert not moved["head.end.weight"].any(dim=1).view(3, 513)[:, :372].any()
    assert "needs a reverse model" in cli_error(main, *command(start, recordings, tmp_path / "b", "--only-above-mel"))


def test_shipped_critics_are_used_from_the_start_and_new_ones_later(tmp_path, start):
    for reference in ("reverse", "waveglow"):
        config = recipe_module.recipe(Start.of(reference), tmp_path, tmp_path, budget.Budget(2.0, 100))
        assert config.start_from == reference
        assert config.losses.critics_from == config.losses.samples_from == 0
        assert config.losses.critics == critics_beside(model_directory(reference))[0]
    (start / CRITICS_FILE).unlink()
    config = recipe_module.recipe(Start.of(str(start)), tmp_path, tmp_path, budget.Budget(2.0, 100))
    assert config.losses.critics_from == 25


def test_a_stopped_run_with_mels_of_another_preset_resumes(start, recordings, tmp_path, capsys, monkeypatch, cli_error):
    given = with_espnet_mels(command(start, recordings, tmp_path, "--minutes", "0.01"), recordings)
    with monkeypatch.context() as interrupted:
        interrupted.setattr(Interruption, "requested", True, raising=False)
        interrupted.setattr(Interruption, "__init__", lambda self: None)
        assert main(given) == 130
    assert "stopped; to continue, repeat the command with --resume" in capsys.readouterr().out
    assert "--resume continues it" in cli_error(main, *given)
    at = given.index("--start-from")
    assert main([*given[:at], *given[at + 2 :], "--resume"]) == 0  # the run remembers its start
    assert written_run(tmp_path / "mine.run" / "training" / "config.yaml").start_from == str(start)
    printed = capsys.readouterr().out
    assert "got the manifest's mels, not the recordings' own, for 3 of 3" in printed
    assert "set preset=espnet" in printed
    manifest = read_manifest(tmp_path / "mine.run" / "corpus" / "manifest.jsonl")
    assert {entry.mel_preset for entry in manifest.entries} == {"espnet"}


def test_warnings_are_printed_before_training(start, recordings, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(steps, "seconds_per_step", lambda *arguments: 21.0)
    monkeypatch.setattr(steps, "train", Mock(side_effect=KeyboardInterrupt))
    monkeypatch.setattr(steps, "missing_judges", lambda: {"pesq": "pesq"})
    assert main(command(start, recordings, tmp_path, "--minutes", "0.01")) == 130
    out = capsys.readouterr().out
    assert "PESQ is not installed, so only STOI and DistillMOS judge the result" in out
    assert "2 of 4: training on 0.1 minutes of speech; measuring this machine's pace with 9 steps" in out
    assert "WARNING: a step takes 21.0 s here, 52 times as long as on two idle cores" in out


@pytest.mark.parametrize(("model", "of_predicted"), [("reverse", (5, 12)), ("waveglow", (0, 0))])
def test_predicted_mels_raise_the_weight_of_critics_and_change_corrections(model, of_predicted, tmp_path):
    start = Start.of(model)
    usual, predicted = (recipe_module.recipe(start, tmp_path, tmp_path, predicted=p) for p in (False, True))
    assert (usual.losses.sample_corrections, usual.model.corrections) == (5, 12)
    assert (predicted.losses.sample_corrections, predicted.model.corrections) == of_predicted
    assert predicted.losses.adversarial > usual.losses.adversarial


def test_critics_use_the_default_dtype_of_the_machine(tmp_path, monkeypatch):
    start = Start.of("reverse")
    for dtype in (torch.float32, torch.bfloat16):
        monkeypatch.setattr(runs_module, "default_dtype", lambda device, dtype=dtype: dtype)
        assert recipe_module.recipe(start, tmp_path, tmp_path).losses.bfloat16 == (dtype == torch.bfloat16)


def test_training_requires_the_judges(start, recordings, tmp_path, cli_error, monkeypatch):
    monkeypatch.setattr(steps, "missing_judges", lambda: {"pesq": "pesq", "distillmos": "distillmos"})
    assert "distillmos, needed to judge the result: install" in cli_error(main, *command(start, recordings, tmp_path))
    assert not (tmp_path / "mine.run").exists()


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (["--start-from", "wavenet"], "wavenet is a wavenet: fine-tuning must start from a reverse or a waveglow"),
        (["--minutes", "-1"], "--minutes must be a positive number"),
        (["--steps", "4"], "--steps must be at least 5"),
        (["--mel", "hifigan"], "--mel is the preset of the mels in --mels: give --mels, too"),
    ],
)
def test_invalid_arguments_give_one_line_errors(start, recordings, tmp_path, cli_error, more, text):
    assert text in cli_error(main, *command(start, recordings, tmp_path, *more))


def test_too_little_speech_is_rejected_with_the_required_amount(start, recordings, tmp_path, cli_error):
    (tmp_path / "few").mkdir()
    for i in range(4):
        soundfile.write(tmp_path / "few" / f"{i}.wav", voice(120.0, 2.0, seed=i), RATE)
    message = cli_error(main, *command(start, tmp_path / "few", tmp_path))
    assert "4 s of speech are left to train on, besides the held-out" in message
    assert "5 s are needed" in message
    message = cli_error(main, *command(start, recordings, tmp_path))
    assert message.endswith("mine.run, where nothing was trained yet, or pass another -o or --run DIR\n")


def test_outputs_and_runs_must_belong_together(start, recordings, tmp_path, cli_error):
    (tmp_path / "mine").mkdir()
    inside = ["-o", str(recordings / "mine")]
    resumed = "nothing to resume: "
    for more, text in (([], "choose another -o"), (["--resume"], resumed), (inside, "is inside")):
        assert text in cli_error(main, *command(start, recordings, tmp_path, *more))
