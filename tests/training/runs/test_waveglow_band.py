"""Recordings of a narrower band teach nothing about what lies above it."""

from __future__ import annotations

import pytest
import torch
from tiny_waveglow import RATE, batch, stirred
from torch import Tensor

from training.losses.band_limit import band_limited
from vocoder.config import ConfigError


def limited(edge: float = 1500.0) -> dict[str, Tensor]:
    """Return the batch with a band that ends at `edge`, in recordings too."""
    band = torch.full((2,), edge)
    return {"x": band_limited(batch()["x"], band, RATE), "band": band}


def test_what_lies_above_a_recording_s_band_moves_no_loss_on_samples():
    made = stirred()
    torch.manual_seed(1)
    data = limited()
    x, mel = made.compared.segments(data)
    x_hat = made._sample(mel).detach()
    extra = torch.randn_like(x_hat)
    extra = 0.1 * (extra - band_limited(extra, data["band"] + 300, RATE))
    losses = []
    for sample in (x_hat, x_hat + extra):
        seen = made.compared.seen(sample, data)
        losses.append(
            (
                made.compared.stft(seen, made.compared.seen(x, data)),
                made.compared.mel_distance(seen, made.compared.seen(x, data)),
            )
        )
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-4, atol=1e-5)
    assert float(made.compared.stft(x_hat + extra, x)) > float(losses[0][0]) + 0.1


def test_the_likelihood_does_not_learn_that_the_band_above_is_silent():
    made, data = stirred(), limited()
    x, mel = made.compared.segments(data)
    full = made.compared.filled(x, made._sample(mel).detach(), data)
    above = [float((audio - band_limited(audio, data["band"], RATE)).square().mean()) for audio in (x, full)]
    assert above[1] > 100 * above[0]
    torch.testing.assert_close(*(band_limited(audio, data["band"] - 300, RATE) for audio in (x, full)))


def test_a_model_that_has_learnt_keeps_its_elementwise_flow_but_for_the_band_that_it_never_heard():
    made = stirred(refit_above=2000.0)
    envelope = made.model.envelope
    assert envelope is not None
    before = envelope.projection.weight.detach().clone()
    made.initialise([batch(8), batch(8)])
    first = int(2 * 2000.0 * envelope.channels / RATE)
    changed = (envelope.projection.weight != before).flatten(1).any(dim=1)
    shift, scale = changed.chunk(2)
    assert not bool(shift[:first].any() | scale[:first].any())
    assert bool(scale[first:].all())
    made = stirred()
    envelope = made.model.envelope
    assert envelope is not None
    before = envelope.projection.weight.detach().clone()
    made.initialise([batch(8)])
    torch.testing.assert_close(envelope.projection.weight.detach(), before)


def test_a_band_that_no_recording_has_cannot_be_started_anew():
    with pytest.raises(ConfigError, match=r"needs recordings of the whole band.*losses\.refit_above=null"):
        stirred(refit_above=2000.0).initialise([limited()])
