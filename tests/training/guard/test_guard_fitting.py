"""Fitting the guard: closed forms, calibration by what was left out, variations that keep what they must."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import soundfile
import torch
import yaml
from evaluation_corpus import RATE, voice
from torch import Tensor

from training.cli import main
from training.corpora.manifest import Entry, write_manifest
from training.data.mel_variation import VariationConfig, coloured, predicted
from training.guard.examples import two_parts
from training.guard.fitting import calibrate, fit_density, statistics_of
from vocoder.checkpoint import load_model
from vocoder.flows.dense_affine import LowerAffine
from vocoder.guard.conversions import identity
from vocoder.guard.guard import load_guard
from vocoder.guard.hypotheses import Scorer
from vocoder.guard.layouts import layouts
from vocoder.models.guard import GuardConfig, GuardModel

FLOOR = math.log(1e-5)
SMALL = GuardConfig(("nvidia", "nvidia:shuffled"), n_mels=6, offsets=(0, 1), windows=40)
STILL = VariationConfig(gain_db=(0.0, 0.0), colour_db=0.0, noise=0.01)


def walks(count: int, seed: int = 0) -> list[Tensor]:
    """Mels (6, 60) whose frames follow from each other."""
    generator = torch.Generator().manual_seed(seed)
    steps = 0.2 * torch.randn(count, 6, 60, generator=generator)
    return list(-5.0 + steps.cumsum(dim=2).clamp(-4.0, 4.0))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def test_a_gain_counts_as_often_as_the_power() -> None:
    config = VariationConfig(gain_db=(-20.0, -20.0), colour_db=0.0)
    mel = torch.full((6, 4), -3.0)
    for power in (1.0, 2.0):
        expected = torch.full((6, 4), -3.0 - power * math.log(10.0))
        torch.testing.assert_close(coloured(mel, config, power, FLOOR, generator()), expected)
    assert float(coloured(mel - 8.0, config, 1.0, FLOOR, generator()).max()) == pytest.approx(FLOOR)


def test_colour_is_of_bands_alone() -> None:
    config = VariationConfig(gain_db=(0.0, 0.0), colour_db=3.0)
    mel = walks(1)[0]
    change = coloured(mel, config, 1.0, -100.0, generator()) - mel
    torch.testing.assert_close(change, change[:, :1].expand_as(change), atol=1e-5, rtol=0.0)
    assert float(change[:, 0].std()) > 0.05


@pytest.mark.parametrize(("variation", "axis", "other"), [("time", 1, 0), ("bands", 0, 1)])
def test_smoothing_is_along_one_axis(variation: str, axis: int, other: int) -> None:
    mel = walks(1)[0]
    smooth = predicted(mel, variation, VariationConfig(), generator())
    torch.testing.assert_close(smooth.mean(), mel.mean(), atol=0.1, rtol=0.0)
    assert float(smooth.diff(dim=axis).std()) < 0.95 * float(mel.diff(dim=axis).std())
    flat = mel.mean(dim=axis, keepdim=True).expand_as(mel)
    torch.testing.assert_close(predicted(flat, variation, VariationConfig(), generator()), flat)
    assert float(flat.diff(dim=other).std()) > 0.0


def test_a_density_is_the_gaussian_of_the_windows() -> None:
    density, mels = LowerAffine(12), walks(40)
    fit_density(density, mels, layouts()["nvidia"], "", SMALL, STILL, seed=0)
    starts = torch.arange(59)
    windows = torch.cat([torch.cat([mel.T[starts], mel.T[starts + 1]], dim=1) for mel in mels])
    torch.testing.assert_close(density.t[:, 0], windows.mean(dim=0), atol=0.03, rtol=0.0)
    inverse = torch.linalg.inv(density.matrix())
    expected = torch.cov(windows.T) + 1e-4 * torch.eye(12)
    torch.testing.assert_close(inverse @ inverse.T, expected, atol=0.05, rtol=0.05)
    mean, deviation = statistics_of(mels)
    torch.testing.assert_close(mean, torch.cat(mels, dim=1).mean(dim=1))
    torch.testing.assert_close(deviation, torch.cat(mels, dim=1).std(dim=1))


def test_calibration_makes_a_percentile_of_what_was_left_out() -> None:
    model, fitted, held = GuardModel(SMALL), walks(40), walks(50, seed=9)
    for density, variation in zip(model.densities, ("", "shuffled"), strict=True):
        fit_density(density, fitted, layouts()["nvidia"], variation, SMALL, STILL, seed=0)  # type: ignore[arg-type]
    calibrate(model, held, [held, held], STILL, slack=0.05, least_margin=0.01, seed=0)
    scorer = Scorer(model)
    scores = torch.tensor([scorer.score(mel, identity(), (0,))[0].log_prob for mel in held])
    torch.testing.assert_close(model.percentiles[[0, 50, 100]], torch.quantile(scores, torch.tensor([0.0, 0.5, 1.0])))
    assert float(model.lowest[0]) < float(scores.min()) - 0.04
    assert float(model.margin[1]) >= 0.01


def test_no_utterance_is_on_both_sides() -> None:
    entries = [Entry(f"{i}.flac", "c", "s", "train", 1.0, RATE, "none") for i in range(10)]
    fitted, held = two_parts(entries, 0.3)
    assert (len(fitted), len(held)) == (7, 3)
    assert {entry.path for entry in fitted} & {entry.path for entry in held} == set()


def test_a_run_from_recordings_to_a_guard(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entries = []
    for i in range(6):
        soundfile.write(tmp_path / f"{i}.flac", voice(90.0 + 20 * i, 1.0, seed=i), RATE, subtype="PCM_16")
        entries.append(Entry(f"{i}.flac", "synthetic", "one", "train", 1.0, RATE, "CC0"))
    write_manifest(tmp_path / "manifest.jsonl", entries)
    config = {
        "manifest": str(tmp_path / "manifest.jsonl"),
        "output": str(tmp_path / "run"),
        "model": {"densities": ["nvidia", "nvidia:time", "nvidia:shuffled", "rate16"], "offsets": [0]},
        "calibration_share": 0.34,
    }
    (tmp_path / "guard.yaml").write_text(yaml.safe_dump(config))
    arguments = ["guard", "--config", str(tmp_path / "guard.yaml")]
    assert main(arguments) == 0
    assert "4 densities" in capsys.readouterr().out
    directory = tmp_path / "run" / "last" / "model"
    guard, checkpoint = load_guard(directory), load_model(directory)
    assert bool((guard.model.percentiles.diff() >= 0).all())
    assert checkpoint.provenance["data"][0]["licence"] == "CC0"
    assert "It cannot speak." in (directory / "README.md").read_text()
    assert main(arguments) == 2
    assert "already holds a run" in capsys.readouterr().err
    assert main([*arguments, "model.densities=[espnet]"]) == 2
    assert "the first density must be 'nvidia'" in capsys.readouterr().err
    assert main([*arguments, "model.densities=[nvidia, other]"]) == 2
    assert "there is no density 'other'" in capsys.readouterr().err
