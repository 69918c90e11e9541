"""Which losses each variant of an ablation has."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

import recipes.ablation
from recipes.ablation.command import REVERSE, complete, variants
from training.objectives.reverse_losses import ReverseLosses
from training.run_config import load_config
from training.runs.reverse import ReverseRun
from training.runs.student import DistillRun
from vocoder.config import ConfigError
from vocoder.models.student import Student

CONFIGS = Path(recipes.ablation.__file__).parent


def test_its_configuration_is_one_of_a_small_student():
    config = load_config(DistillRun, CONFIGS / "ablation.yaml")
    assert sum(parameter.numel() for parameter in Student(config.model).parameters()) < 12_000_000


def test_variants_of_an_ablation_add_one_group_of_losses_each():
    losses = load_config(DistillRun, CONFIGS / "ablation.yaml").losses
    found = variants(dataclasses.replace(losses, adversarial=0.5))
    assert list(found) == ["kl", "kl+power", "kl+power+perceptual", "kl+power+perceptual+contrastive"]
    alone = found["kl"]
    assert alone.kl == losses.kl > 0
    assert alone.power == alone.spectral == alone.mel == alone.style == alone.contrastive == alone.adversarial == 0
    assert found["kl+power"].power == losses.power
    assert found["kl+power"].style == 0
    assert found["kl+power+perceptual"].style == losses.style
    assert found["kl+power+perceptual+contrastive"] == losses


def test_an_ablation_names_all_that_it_lacks_at_once():
    with pytest.raises(ConfigError) as caught:
        complete({"losses": {"power": 0.1, "perceptual": 0.1}, "trainer": {"batch_size": 1}})
    assert str(caught.value) == (
        "an ablation needs weights above 0 for losses.style, losses.contrastive and recogniser=DIR (python -m recipes "
        "recogniser) and a trainer.batch_size of at least 2"
    )


def test_the_way_back_has_its_own_variants():
    found = variants(ReverseLosses(), REVERSE)
    assert list(found) == [
        "recorded",
        "recorded+drawn",
        "recorded+drawn+samples",
        "recorded+drawn+samples+critics",
    ]
    first, *_, last = found.values()
    assert (first.recorded, first.drawn, first.spectral, first.adversarial) == (1.0, 0.0, 0.0, 0.0)
    assert last == ReverseLosses()
    load_config(ReverseRun, CONFIGS / "ablation-reverse.yaml", (), lambda settings: complete(settings, REVERSE))
    with pytest.raises(ConfigError, match=r"weights above 0 for losses\.drawn"):
        complete({"losses": {"drawn": 0}}, REVERSE)
