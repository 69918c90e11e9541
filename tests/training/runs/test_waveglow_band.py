"""Recordings of a narrower band teach nothing about what lies above it."""

from __future__ import annotations

import torch
from tiny_waveglow import RATE, batch, stirred
from torch import Tensor

from training.losses.band_limit import band_limited


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
