"""From a folder of recordings to a model directory that speaks, whose card and licence say where it comes from."""

import sys
from dataclasses import replace
from functools import partial
from itertools import chain

import numpy as np
import pytest
import soundfile
import torch
from evaluation_corpus import RATE, steady_pitch, voice

import vocoder
from training.cli import main
from training.corpora.manifest import read_manifest
from training.critics.adversary import CRITICS_FILE, Adversary, critics_beside
from training.critics.spectrogram import CriticConfig
from training.evaluate import comparison
from training.evaluate.candidates import griffin_lim
from training.evaluate.metrics import METRICS
from training.finetune import budget, steps
from training.finetune import recipe as recipe_module
from training.finetune import recordings as recordings_module
from training.finetune.recipe import KINDS, Start, written_run
from training.loop import processes
from training.loop.stopping import Interruption
from vocoder.checkpoint import load_model, save_model
from vocoder.layers.conditioning import PitchConfig
from vocoder.layers.source import SourceConfig
from vocoder.layers.stack.wavenet import WaveNetConfig
from vocoder.loading import model_directory
from vocoder.mel.config import preset
from vocoder.mel.spectrogram import MelSpectrogram
from vocoder.models.reverse import Reverse, ReverseConfig
from vocoder.models.waveglow import WaveGlow, WaveGlowConfig

CRITICS = CriticConfig(sizes=(512,), channels=2, length=4096)
SOURCE = SourceConfig(pitch=PitchConfig(channels=4, layers=1, bins=8))
DATA = [{"corpus": "old", "hours": 1.0, "licence": "CC-BY-3.0", "attribution": "by Old", "speakers": ["old"]}]


def tiny(folder, model):
    """Write a model with its critics, and what it was trained on."""
    save_model(folder, model, preset("nvidia"), {"data": DATA})
    Adversary(CRITICS, RATE, torch.float32).save(folder)
    return folder


@pytest.fixture
def start(tmp_path):
    torch.manual_seed(0)
    stack = WaveNetConfig(channels=4, dilations=(1,))
    config = WaveGlowConfig(flows=2, cond_channels=4, stack=stack, source=SOURCE, group_size=64, corrections=1)
    return tiny(tmp_path / "start", WaveGlow(config))


@pytest.fixture
def reverse_start(tmp_path):
    torch.manual_seed(0)
    sizes = {"cond_channels": 4, "channels": 8, "hidden": 8, "blocks": 2, "kernel_size": 3, "ahead": 1}
    return tiny(tmp_path / "start", Reverse(ReverseConfig(**sizes, source=SOURCE, corrections=1)))


@pytest.fixture
def recordings(tmp_path):
    folder = tmp_path / "recordings"
    folder.mkdir()
    for i in range(9):
        soundfile.write(folder / f"{i}.wav", voice(110.0 + 10 * i, 1.0, seed=i), RATE, subtype="PCM_16")
    soundfile.write(folder / "silent.wav", np.zeros(RATE), RATE)
    return folder


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(steps, "missing_judges", dict)
    monkeypatch.setattr("training.corpora.pitch.track_pitch", steady_pitch)
    monkeypatch.setattr(comparison, "METRICS", tuple(m for m in METRICS if m.name in ("stft_distance", "stoi")))
    monkeypatch.setattr(comparison, "griffin_lim", partial(griffin_lim, iterations=1))
    small = {"_VALIDATION_ITEMS": 2, "_SEGMENT_LENGTH": 4096, "TIMED_STEPS": 1}
    for name, value in small.items():
        monkeypatch.setattr(recipe_module, name, value)
    for family, kind in KINDS.items():
        monkeypatch.setitem(KINDS, family, replace(kind, batch_size=2))
    monkeypatch.setattr(budget, "FEWEST_STEPS", 4)
    monkeypatch.setattr(recordings_module, "LEAST_SECONDS", 5.0)


def words(start, recordings, tmp_path, *more):
    usual = {"-o": str(tmp_path / "mine"), "--licence": "CC0-1.0", "--start-from": str(start), "--jobs": "1"}
    return ["finetune", str(recordings), *chain(*(pair for pair in usual.items() if pair[0] not in more)), *more]


def with_mels_of_espnet(given, recordings):
    """Write the mel of each recording by another preset, and return the arguments with them."""
    extract = MelSpectrogram(preset("espnet"))
    for path in recordings.glob("[0-9].wav"):
        x = torch.from_numpy(soundfile.read(path, dtype="float32")[0])
        np.save(path.with_suffix(".npy"), extract(x[None])[0].numpy())
    return [*given, "--mels", str(recordings), "--mel", "espnet"]


def test_recordings_become_a_model_that_speaks_and_is_no_worse(start, recordings, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "bin" / "vocoder-train")])
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "vocoder-serve").touch()
    assert main(words(start, recordings, tmp_path, "--minutes", "0.01")) == 0
    printed = capsys.readouterr().out
    told = ("1 of 4", "silent", "initialising from 1 batch of", "step 0: score", "for the first, about", "4 of 4")
    assert [text for text in told if text not in printed] == []
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


def test_a_reverse_model_learns_from_samples_alone_and_its_critics_judge_at_once(
    reverse_start, recordings, tmp_path, capsys, refusal
):
    assert main(words(reverse_start, recordings, tmp_path, "--steps", "5")) == 0
    assert "model/recorded" not in capsys.readouterr().out
    config = written_run(tmp_path / "mine.run" / "training" / "config.yaml")
    assert (config.start_from, config.losses.critics) == (str(reverse_start), CRITICS)
    last = load_model(tmp_path / "mine.run" / "training" / "last" / "model")
    given = load_model(reverse_start).model.state_dict()
    assert any(not torch.equal(value, given[name]) for name, value in last.model.state_dict().items())
    assert load_model(tmp_path / "mine").family == "reverse"
    for more, text in ((["--steps", "6"], "has 5 steps"), (["--licence", "MIT"], "must be CC0-1.0, under which")):
        assert text in refusal(main, *words(reverse_start, recordings, tmp_path, *more), "--resume")


def test_critics_beside_the_weights_judge_at_once_and_new_ones_learn_first(tmp_path, start):
    for reference in ("reverse", "waveglow"):
        config = recipe_module.recipe(Start.of(reference), tmp_path, tmp_path, budget.Budget(2.0, 100))
        assert config.start_from == reference
        assert config.losses.critics_from == config.losses.samples_from == 0
        assert config.losses.critics == critics_beside(model_directory(reference))
    (start / CRITICS_FILE).unlink()
    config = recipe_module.recipe(Start.of(str(start)), tmp_path, tmp_path, budget.Budget(2.0, 100))
    assert config.losses.critics_from == 25


def test_a_stopped_run_goes_on_and_predicted_mels_of_another_preset_are_heard(
    start, recordings, tmp_path, capsys, monkeypatch, refusal
):
    given = with_mels_of_espnet(words(start, recordings, tmp_path, "--minutes", "0.01"), recordings)
    with monkeypatch.context() as interrupted:
        interrupted.setattr(Interruption, "requested", True, raising=False)
        interrupted.setattr(Interruption, "__init__", lambda self: None)
        assert main(given) == 130
    assert "stopped; to continue, repeat the command with --resume" in capsys.readouterr().out
    assert "--resume continues it" in refusal(main, *given)
    at = given.index("--start-from")
    assert main([*given[:at], *given[at + 2 :], "--resume"]) == 0  # it knows what it began with
    assert written_run(tmp_path / "mine.run" / "training" / "config.yaml").start_from == str(start)
    printed = capsys.readouterr().out
    assert "got the manifest's mels, not the recordings' own, for 3 of 3" in printed
    assert "set preset=espnet" in printed
    manifest = read_manifest(tmp_path / "mine.run" / "corpus" / "manifest.jsonl")
    assert {entry.mel_preset for entry in manifest.entries} == {"espnet"}


def test_warnings_come_before_training(start, recordings, tmp_path, capsys, monkeypatch):
    def stopped(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(steps, "seconds_per_step", lambda *arguments: 21.0)
    monkeypatch.setattr(steps, "fit_corpus", stopped)
    monkeypatch.setattr(steps, "missing_judges", lambda: {"pesq": "pesq"})
    assert main(words(start, recordings, tmp_path, "--minutes", "0.01")) == 130
    said = capsys.readouterr().out
    assert "PESQ is not installed, so only STOI and DistillMOS judge the result" in said
    assert "2 of 4: training on 0.1 minutes of speech; measuring this machine's pace with 9 steps" in said
    assert "WARNING: a step takes 21.0 s here, 52 times as long as on two idle cores" in said


@pytest.mark.parametrize(
    ("model", "of_true", "of_predicted"), [("reverse", (5, 12), (5, 12)), ("waveglow", (5, 12), (0, 0))]
)
def test_on_predicted_mels_critics_count_more_and_corrections_aim_at_a_learned_mel(
    model, of_true, of_predicted, tmp_path
):
    start = Start.of(model)
    usual, predicted = (recipe_module.recipe(start, tmp_path, tmp_path, predicted=p) for p in (False, True))
    assert (usual.losses.sample_corrections, usual.model.corrections) == of_true
    assert (predicted.losses.sample_corrections, predicted.model.corrections) == of_predicted
    assert predicted.losses.adversarial > usual.losses.adversarial


def test_critics_compute_in_the_dtype_of_the_machine(tmp_path, monkeypatch):
    start = Start.of("reverse")
    for dtype in (torch.float32, torch.bfloat16):
        monkeypatch.setattr(processes, "default_dtype", lambda device, dtype=dtype: dtype)
        assert recipe_module.recipe(start, tmp_path, tmp_path).losses.bfloat16 == (dtype == torch.bfloat16)


def test_nothing_is_trained_without_its_judges(start, recordings, tmp_path, refusal, monkeypatch):
    monkeypatch.setattr(steps, "missing_judges", lambda: {"pesq": "pesq", "distillmos": "distillmos"})
    assert "distillmos, needed to judge the result: install" in refusal(main, *words(start, recordings, tmp_path))
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
def test_wrong_arguments_are_refused_in_one_line(start, recordings, tmp_path, refusal, more, text):
    assert text in refusal(main, *words(start, recordings, tmp_path, *more))


def test_too_little_speech_says_how_much_is_needed_and_keeps_its_place(start, recordings, tmp_path, capsys):
    (tmp_path / "few").mkdir()
    for i in range(4):
        soundfile.write(tmp_path / "few" / f"{i}.wav", voice(120.0, 2.0, seed=i), RATE)
    assert main(words(start, tmp_path / "few", tmp_path)) == 2
    message = capsys.readouterr().err
    assert "4 s of speech are left to train on, besides the held-out" in message
    assert "5 s are needed" in message
    assert main(words(start, recordings, tmp_path)) == 2
    assert capsys.readouterr().err.endswith("; choose another name or folder: pass another -o or --run DIR\n")


def test_a_run_belongs_to_its_output(start, recordings, tmp_path, refusal):
    (tmp_path / "mine").mkdir()
    inside = ["-o", str(recordings / "mine")]
    resumed = "nothing to resume: "
    for more, text in (([], "choose another -o"), (["--resume"], resumed), (inside, "is inside")):
        assert text in refusal(main, *words(start, recordings, tmp_path, *more))
