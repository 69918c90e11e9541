"""Averaging the weights of compatible models and merging their provenance."""

import torch
from tiny_models import TINY_MEL, tiny_waveglow

from training.cli import main
from training.publishing import mean_of
from vocoder.checkpoint import load_model, save_model


def branch(folder, seed, corpus, **sizes):
    torch.manual_seed(seed)
    data = [{"corpus": corpus, "hours": 1.0, "licence": "CC0-1.0"}]
    return save_model(folder, tiny_waveglow("lapped", **sizes), TINY_MEL, {"data": data}, {"voices": {}})


def test_compatible_models_are_averaged_and_others_rejected(tmp_path, cli_error):
    branches = [branch(tmp_path / str(i), i, f"corpus {i // 2}") for i in range(3)]
    assert main(["publish", *map(str, branches), "-o", str(tmp_path / "mean"), "--dtype", "float32"]) == 0
    made, states = load_model(tmp_path / "mean"), [load_model(each).model.state_dict() for each in branches]
    for name, value in made.model.state_dict().items():
        torch.testing.assert_close(value, sum(state[name] for state in states) / 3)
    corpora = [[entry["corpus"] for entry in made.provenance[way]] for way in ("data", "inherited")]
    assert corpora == [["corpus 1"], ["corpus 0"]]
    assert (made.quality, mean_of(branches[:1]).quality) == ({}, {"voices": {}})
    other = branch(tmp_path / "other", 0, "corpus 1", flows=2)
    assert "their architectures or mel" in cli_error(main, "publish", branches[0], other, "-o", tmp_path / "none")
