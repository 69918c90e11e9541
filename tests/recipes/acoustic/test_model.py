"""The acoustic model: what it may and may not depend on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from recipes.acoustic.model import AcousticConfig, AcousticModel, load_acoustic, save_acoustic
from recipes.acoustic.objective import AcousticObjective
from vocoder.config import ConfigError
from vocoder.mel.config import preset

SMALL = {"n_mels": 5, "tokens": 9, "style": 4, "channels": 8, "hidden": 12, "kernel": 3, "encoder": 2, "decoder": 2}


def small(prosody: bool = False) -> AcousticModel:
    torch.manual_seed(0)
    return AcousticModel(AcousticConfig(**SMALL, prosody=prosody)).eval()


def batch(tokens: int = 6, frames: int = 20, size: int = 2) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    index = torch.arange(frames) * tokens // frames
    return {
        "tokens": torch.randint(0, 9, (size, tokens), generator=generator),
        "style": torch.randn(size, 4, generator=generator),
        "index": index.expand(size, -1),
        "places": torch.randn(size, 4, frames, generator=generator),
        "mask": torch.ones(size, frames),
        "prosody": torch.randn(size, 3, tokens, generator=generator).abs(),
        "mel": torch.randn(size, 5, frames, generator=generator),
    }


def spoken(model: AcousticModel, given: dict[str, torch.Tensor], prosody: torch.Tensor | None = None) -> torch.Tensor:
    seen = (given[name] for name in ("tokens", "style", "index", "places", "mask"))
    mel: torch.Tensor = model(*seen, prosody)[0]
    return mel


@pytest.mark.parametrize("prosody", [False, True])
def test_padding_changes_nothing(prosody: bool) -> None:
    model, given = small(prosody), batch()
    padded = {
        **given,
        "tokens": torch.nn.functional.pad(given["tokens"], (0, 4), value=9),
        **{name: torch.nn.functional.pad(given[name], (0, 7)) for name in ("index", "places", "mask")},
    }
    torch.testing.assert_close(spoken(model, padded)[:, :, :20], spoken(model, given))


def test_given_prosody_replaces_the_predicted_one() -> None:
    model, given = small(prosody=True), batch()
    predicted = model(*(given[name] for name in ("tokens", "style", "index", "places", "mask")))[1]
    torch.testing.assert_close(spoken(model, given, predicted), spoken(model, given))
    assert not torch.allclose(spoken(model, given, given["prosody"]), spoken(model, given))


def test_the_loss_counts_real_frames_and_voiced_pitch_alone() -> None:
    objective, given = AcousticObjective(small(prosody=True), preset("nvidia"), {}), batch()
    loss, parts = objective.loss("model", given, 0)
    torch.testing.assert_close(loss, parts["mel"] + 0.3 * parts["prosody"])
    torch.testing.assert_close(
        parts["mel"], (spoken(objective.model, given, given["prosody"]) - given["mel"]).abs().mean()
    )
    unvoiced = given["prosody"].clone()
    unvoiced[:, 1] = 0
    other = unvoiced.clone()
    other[:, 0] += 5
    losses = [objective._errors({**given, "prosody": p}, given["prosody"])[1] for p in (unvoiced, other)]
    torch.testing.assert_close(losses[0], losses[1])
    half = {**given, "mask": given["mask"].clone()}
    half["mask"][:, 10:] = 0
    wild = {**half, "mel": given["mel"].clone()}
    wild["mel"][:, :, 10:] = 1e3
    torch.testing.assert_close(objective.validate(wild)["score"], objective.validate(half)["score"])


def test_a_directory_gives_the_model_back(tmp_path: Path) -> None:
    model, given = small(prosody=True), batch()
    save_acoustic(tmp_path, model, {"mel": "nvidia", "folds": 3, "held": 1})
    loaded, settings = load_acoustic(tmp_path)
    assert settings == {"mel": "nvidia", "folds": 3, "held": 1}
    torch.testing.assert_close(spoken(loaded, given), spoken(model, given))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="holds no acoustic model"):
        load_acoustic(tmp_path)
