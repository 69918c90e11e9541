from pathlib import Path

import pytest
import torch
import yaml
from evaluation_corpus import voice, write_recordings

from recipes.__main__ import main
from recipes.guard.fitting import ConventionObjective, fit_temperature
from training.loop.batches import FixedItems
from training.loop.trainer import fit
from training.loop.trainer_config import RunConfig, TrainerConfig
from vocoder.checkpoint import load_model
from vocoder.guard.guard import load_guard
from vocoder.layers.recogniser import ConventionConfig, ConventionNet
from vocoder.mel.config import preset

SHIPPED = Path(__file__).parents[3] / "recipes" / "guard" / "guard.yaml"
SIZE = ConventionNet(ConventionConfig(n_mels=8)).first.in_features


def toy_items(count, seed, noise):
    """Return statistics of two layouts and two encodings, each encoded in one number, plus noise."""
    generator = torch.Generator().manual_seed(seed)
    layout, encoding = (torch.randint(2, (count,), generator=generator) for _ in range(2))
    x = noise * torch.randn(count, SIZE, generator=generator)
    x[:, 0] += 2.0 * layout - 1.0
    x[:, 1] += 2.0 * encoding - 1.0
    return FixedItems(x=x.half(), layout=layout, encoding=encoding)


def test_the_recogniser_learns_and_its_temperature_grows_with_the_noise(tmp_path):
    net = ConventionNet(ConventionConfig(("nvidia", "espnet"), ("ln", "log10"), n_mels=8, hidden=16))
    lessons = toy_items(2000, 0, 0.2)
    trainer = TrainerConfig(steps=300, batch_size=50, learning_rate=1e-2, warmup_steps=30, device="cpu")
    objective = ConventionObjective(net, preset("nvidia"), lessons)
    fit(RunConfig(str(tmp_path), trainer), objective, lessons, toy_items(100, 0, 0.2), provenance={}, resume=False)
    net.eval()
    easy, hard = toy_items(500, 1, 0.2), toy_items(500, 2, 1.5)
    x, *targets = easy.tensors.values()
    for log_prob, target in zip(net(x.float()), targets, strict=True):
        assert float((log_prob.argmax(dim=1) == target).float().mean()) > 0.97
    fit_temperature(net, easy)
    low = net.temperature.clone()
    fit_temperature(net, hard)
    assert bool((net.temperature > low).all())


@pytest.fixture
def corpus(tmp_path):
    recordings = ((voice(90.0 + 20 * i, 1.0, seed=i), {"corpus": "held" if i > 4 else "fitted"}) for i in range(8))
    write_recordings(tmp_path, *recordings)
    config = yaml.safe_load(SHIPPED.read_text()) | {
        "manifest": str(tmp_path / "manifest.jsonl"),
        "output": str(tmp_path / "run"),
        "model": {
            "densities": ["nvidia", "nvidia:time", "nvidia:shuffled"],
            "offsets": [0],
            "convention": {"layouts": ["nvidia", "espnet", "shuffled"], "encodings": ["ln", "log10"], "hidden": 16},
        },
        "corpora": ["fitted"],
        "recordings": 12,
        "spoken": 0,
        "rounds": 1,
        "trainer": {"steps": 4, "batch_size": 8, "device": "cpu"},
        "calibration": {"corpora": ["held"], "spoken": 0},
    }
    (tmp_path / "guard.yaml").write_text(yaml.safe_dump(config))
    return tmp_path


def test_a_run_creates_a_guard_from_recordings(corpus, capsys, cli_error):
    arguments = ["guard", "--config", str(corpus / "guard.yaml")]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "3 densities and a recogniser" in printed
    assert f"finished after step 4: {corpus / 'run/last'}\n" in printed  # before the model is written
    directory = corpus / "run" / "last" / "model"
    guard, checkpoint = load_guard(directory), load_model(directory)
    assert bool((guard.model.percentiles.diff() >= 0).all())
    assert 0.5 <= float(guard.model.certain) <= 1.0
    assert 0.0 < float(guard.model.refuted) <= 0.05
    assert [data["corpus"] for data in checkpoint.provenance["data"]] == ["fitted"]
    assert "It cannot synthesize speech." in (directory / "README.md").read_text()
    assert "already has a run" in cli_error(main, *arguments)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.densities=[espnet]", "densities must start with nvidia"),
        ("model.densities=[nvidia, 'nvidia:loud']", "not nvidia, nvidia:loud"),
        ("model.convention.layouts=[espnet]", "layouts must start with nvidia"),
        ("model.convention.encodings=[ln, morse]", "not ln, morse"),
        ("model.n_mels=64", "no layout has 64 bands"),
        ("prior=0", "prior must be above 0"),
        ("corpora=[held]", "cannot be used both for fitting and for calibration"),
        ("corpora=[nowhere]", "no utterances for fitting"),
    ],
)
def test_invalid_settings_are_rejected(corpus, override, message, cli_error):
    assert message in cli_error(main, "guard", "--config", corpus / "guard.yaml", override)
