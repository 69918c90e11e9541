import json

import pytest
import torch
import yaml
from evaluation_corpus import write_corpus

from training.cli import main
from training.density.command import CONFIGS, DensityRun, default_config, shorthands
from training.density.families import FAMILIES
from training.density.items import digits as digits_of
from training.density.vae import VariationalAutoencoder
from training.run_config import load_config
from vocoder.checkpoint import load_model

TRAINER = {"steps": 4, "batch_size": 50, "warmup_steps": 1, "validation_steps": 2, "device": "cpu"}


def write_config(folder, **settings):
    config = {"output": str(folder / "run"), "trainer": TRAINER, **settings}
    (folder / "density.yaml").write_text(yaml.safe_dump(config))
    return folder / "density.yaml"


@pytest.fixture
def digits(tmp_path):
    model = {"kind": "maf", "channels": 8, "frames": 8, "flows": 2, "hidden": [16], "logit_alpha": 0.01}
    return write_config(tmp_path, model=model, data={"source": "digits"})


@pytest.fixture
def mels(tmp_path):
    (tmp_path / "corpus").mkdir()
    model = {"kind": "realnvp", "channels": 80, "frames": 2, "flows": 2, "hidden": [8]}
    data = {"items": 200, "held_out": 10}
    return write_config(tmp_path, manifest=str(write_corpus(tmp_path / "corpus")), model=model, data=data)


def saved(run):
    return load_model(run / "last" / "model", families=FAMILIES).model


@pytest.mark.parametrize("kind", ["gaussian", "elementwise"])
def test_closed_forms_are_fitted_to_the_whole_training_set(digits, tmp_path, kind, capsys, cli_error):
    assert main(["density", "--config", str(digits), "--model", kind]) == 0
    printed = capsys.readouterr().out
    model = saved(tmp_path / "run")
    rows = model.logit(digits_of("train").drawn(0))[0].flatten(1).double()
    covariance = torch.cov(rows.T, correction=0)
    covariance = covariance if kind == "gaussian" else torch.diag(covariance.diagonal())
    gaussian = torch.distributions.MultivariateNormal(rows.mean(0), covariance)
    held_out = digits_of("validation", 1_000_003).drawn(0)
    y, log_det = model.logit(held_out)
    expected = gaussian.log_prob(y.flatten(1).double()) + log_det
    torch.testing.assert_close(model.log_prob(held_out).double(), expected, rtol=1e-4, atol=1e-2)
    nats = -expected.mean() / 64
    score = float(printed.split("validation after step 1: score ")[1].split()[0])
    assert score == pytest.approx(float(nats), abs=2e-4)
    for more, said in (("model.frames=8", "already has a run"), ("trainer.batch_size=1001", "has 1000 items, fewer")):
        assert said in cli_error(main, "density", "--config", digits, "--model", kind, more)
    assert main(["density", "--config", str(digits), "--model", kind, "--resume"]) == 0


def test_training_on_mels_of_one_corpus(mels, tmp_path):
    assert main(["density", "--config", str(mels), "--data", "synthetic"]) == 0
    config = json.loads((tmp_path / "run" / "last" / "model" / "config.json").read_text())
    source, data = (config["provenance"][name] for name in ("source", "data"))
    assert (config["family"], config["mel"]["name"], source) == ("density", "nvidia", "mels")
    assert (data[0]["corpus"], saved(tmp_path / "run").sample(3).shape) == ("synthetic", (3, 80, 2))
    assert "cannot synthesize" in (tmp_path / "run" / "last" / "model" / "README.md").read_text()


@pytest.mark.parametrize("kind", ["iaf_vae", "vae"])
def test_autoencoders_can_be_trained(mels, tmp_path, kind):
    small = {"latent": 3, "hidden": [8], "flow_hidden": [8], "context": 2, "frames": 2}
    overrides = [f"model.{name}={value}" for name, value in small.items()]
    mels.write_text(yaml.safe_dump(yaml.safe_load(mels.read_text()) | {"model": {}}))
    assert main(["density", "--config", str(mels), "--model", kind, *overrides]) == 0
    model = load_model(tmp_path / "run" / "last" / "model", families=FAMILIES).model
    assert (type(model), model.config.kind) == (VariationalAutoencoder, kind)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--data", "moons"], "items of moons are (2, 1)"),
        (["model.logit_alpha=null"], "logit_alpha must be set for digits"),
        (["--data", "festvox-ru", "model.logit_alpha=null", "model.channels=80"], "mels need `manifest`"),
        (["model.hiden=[3]"], "no field hiden"),
    ],
)
def test_invalid_settings_give_one_line_errors(digits, cli_error, arguments, text):
    assert text in cli_error(main, "density", "--config", digits, *arguments)


@pytest.mark.parametrize(
    ("model", "data", "name"),
    [(None, None, "mels"), ("maf", "digits", "digits"), ("maf", "eight", "toys"), ("vae", None, "vae")],
)
def test_shipped_configurations_are_valid(model, data, name):
    assert default_config(model, data) == CONFIGS / f"{name}.yaml"
    config = load_config(DensityRun, CONFIGS / f"{name}.yaml", shorthands(model, data))
    assert config.trainer.steps > 0
    assert model is None or config.model.kind == model
    assert load_config(DensityRun, CONFIGS / "mels.yaml", ["mel=vocos"]).model.channels == 100
