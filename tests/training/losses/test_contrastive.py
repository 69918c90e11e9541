from __future__ import annotations

import math

import pytest
import torch

from training.losses.kl import contrastive


def test_loss_falls_as_the_divergence_under_other_mels_grows():
    kl = torch.tensor([0.5, 2.0], requires_grad=True)
    loss = contrastive(kl, 5.0)
    (gradient,) = torch.autograd.grad(loss, kl)
    assert bool((gradient < 0).all())
    assert float(contrastive(kl.detach() + 1.0, 5.0)) < float(loss.detach()) < 0


def test_published_form_is_the_mean_and_the_bound_saturates():
    kl = torch.tensor([0.5, 100.0])
    assert float(contrastive(kl, None)) == pytest.approx(-50.25)
    assert float(contrastive(kl, 5.0)) == pytest.approx(-(5 * math.tanh(0.1) + 5) / 2)
