"""The mean of models: of the weights exactly, with the recordings of all, and only of what belongs together."""

import torch
from tiny_models import TINY_MEL, tiny_waveglow

from training.averaging import mean_of
from training.cli import main
from vocoder.checkpoint import load_model, save_model


def branch(folder, seed, corpus, **sizes):
    torch.manual_seed(seed)
    data = [{"corpus": corpus, "hours": 1.0, "licence": "CC0-1.0"}]
    return save_model(folder, tiny_waveglow("lapped", **sizes), TINY_MEL, {"data": data}, {"voices": {}})


def test_models_are_published_as_the_mean_of_their_weights_and_strangers_have_none(tmp_path, refusal):
    branches = [branch(tmp_path / str(i), i, f"corpus {i // 2}") for i in range(3)]
    assert main(["publish", *map(str, branches), "-o", str(tmp_path / "mean"), "--dtype", "float32"]) == 0
    made, states = load_model(tmp_path / "mean"), [load_model(each).model.state_dict() for each in branches]
    for name, value in made.model.state_dict().items():
        torch.testing.assert_close(value, sum(state[name] for state in states) / 3)
    heard = [[entry["corpus"] for entry in made.provenance[way]] for way in ("data", "inherited")]
    assert heard == [["corpus 1"], ["corpus 0"]]
    assert (made.quality, mean_of(branches[:1]).quality) == ({}, {"voices": {}})
    other = branch(tmp_path / "other", 0, "corpus 1", flows=2)
    assert "their architectures or mel" in refusal(main, "publish", branches[0], other, "-o", tmp_path / "none")
