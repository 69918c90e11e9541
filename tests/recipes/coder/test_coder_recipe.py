import dataclasses

import pytest
import torch
from evaluation_corpus import write_settings
from torch.utils.data import default_collate

from recipes.__main__ import main
from recipes.coder.train import MelCoderRun
from training.corpora.manifest import read_manifest
from training.data.mel_coder import load_coder
from training.loop.trainer_config import TrainerConfig
from training.provenance import origin_of
from training.run_config import load_config
from training.runs.reverse import ReverseLosses, ReverseRun
from vocoder.checkpoint import load_model
from vocoder.config import ConfigError
from vocoder.loading import model_directory
from vocoder.mel.config import preset


@pytest.fixture
def settings(tmp_path):
    return write_settings(tmp_path, {"channels": 8, "hidden": 12, "codes": 6, "fewest": 2})


def trained(settings, output, *overrides):
    assert main(["mel-coder", "--config", str(settings), f"output={output}", *overrides]) == 0
    return str(output / "last" / "model")


def test_a_run_stopped_and_resumed_is_the_run(settings, tmp_path):
    once = trained(settings, tmp_path / "once")
    trained(settings, tmp_path / "parts", "trainer.max_minutes=1e-6")
    parts = trained(settings, tmp_path / "parts", "--resume")
    one, other = (load_coder(name, preset("nvidia")).state_dict() for name in (once, parts))
    assert all(torch.equal(one[name], value) for name, value in other.items())


def test_it_learns_to_draw_what_it_is_given(settings, tmp_path):
    run, manifest = load_config(MelCoderRun, settings), read_manifest(tmp_path / "corpus")
    made = run.objective()
    data = run.training_set(manifest, made)
    batch = default_collate([data[i] for i in range(4)])
    with torch.no_grad():
        made.initialise([batch])
    optimiser = torch.optim.Adam(made.model.parameters(), 0.01)
    torch.manual_seed(0)

    @torch.no_grad()
    def distances():
        return {name: float(value) for name, value in made.eval().validate(batch).items()}

    before = distances()
    for step in range(60):
        optimiser.zero_grad()
        made.train().loss("model", batch, step)[0].backward()
        optimiser.step()
    after = distances()
    assert all(after[name] < 0.8 * before[name] for name in ("score", "few", "all"))


def test_a_vocoder_learns_from_what_it_draws_and_its_corpora_are_named(settings, tmp_path):
    coder = trained(settings, tmp_path / "run")
    losses = ReverseLosses(recorded=0.0, drawn=0.0, coded=1.0, bfloat16=False)
    shipped = load_model(model_directory("reverse"), weights=False).model.config
    run = ReverseRun(
        "o", TrainerConfig(1, 1), "m", "nvidia", shipped, losses=losses, start_from="reverse", coder_from=coder
    )
    made, mel = run.objective(), torch.randn(2, 80, 16)
    assert not torch.equal(made.varied(mel), mel)
    assert not any(parameter.requires_grad for parameter in made.coder.parameters())
    assert origin_of(**run.origins())["coder_from"] == "run"
    for change in ({"coder_from": None}, {"losses": dataclasses.replace(losses, coded=0.0)}):
        with pytest.raises(ConfigError, match=r"coder_from and losses\.coded go together"):
            dataclasses.replace(run, **change).objective()
    with pytest.raises(ConfigError, match="holds a coder of nvidia mels, not of espnet"):
        load_coder(coder, preset("espnet"))
