"""The objective of WaveGlow: likelihood, losses on samples, and the band above a recording's."""

import dataclasses

import pytest
import torch
from tiny_waveglow import GROUPING, LAPPED, LENGTH, MARGIN, batch, model_loss, objective, silent_gradients, stirred


@pytest.mark.parametrize("config", [LAPPED, GROUPING], ids=["lapped", "grouping"])
def test_nats_are_those_of_the_density(config):
    made = stirred(config, noise=0.0)
    padded = batch()["x"]
    mel = made.mel.frame(padded)[:, :, : LENGTH // 16]
    torch.manual_seed(3)
    torch.randn(2, LENGTH)  # the noise, of no size here, is drawn before the dither
    expected = made.model.log_prob(padded[:, MARGIN:-MARGIN] + (torch.rand(2, LENGTH) - 0.5) / 32768, mel)
    torch.manual_seed(3)
    _, parts = model_loss(made, 0)
    torch.testing.assert_close(parts["nats"], -expected.detach().mean() / LENGTH)


@pytest.mark.parametrize("config", [LAPPED, GROUPING], ids=["lapped", "grouping"])
def test_actnorms_start_from_the_first_batch(config):
    made = objective(dataclasses.replace(config, actnorm=True))
    with torch.no_grad():
        made.initialise([batch(), batch()])
        x, mel = made.segments(batch())
        first = made.model.actnorms[0]
        seen, _ = made.model.transform(x.unsqueeze(1))
        if made.model.envelope is not None:
            seen, _ = made.model.envelope(seen, made.model.envelope_condition(mel))
        z = first(seen)[0]
    assert all(bool(actnorm.initialised) for actnorm in made.model.actnorms)
    torch.testing.assert_close(z.mean(dim=(0, 2)), torch.zeros(z.shape[1]), atol=0.1, rtol=0)
    torch.testing.assert_close(z.std(dim=(0, 2)), torch.ones(z.shape[1]), atol=0.1, rtol=0)


def test_every_parameter_learns_and_the_excitation_from_samples_alone():
    for made, step, silent in ((stirred(), 20, set()), (stirred(GROUPING), 0, set()), (stirred(), 0, {"excitation"})):
        model_loss(made, step)[0].backward()
        assert {name.split(".")[0] for name in silent_gradients(made.model)} == silent


def test_the_likelihood_does_not_learn_that_the_band_above_is_silent():
    made, band = stirred(), torch.full((2,), 1500.0)
    data = {"x": made.seen(batch()["x"], {"band": band}), "band": band}
    x, mel = made.segments(data)
    full = made.filled(x, made.model.synthesize(mel).detach(), data)
    above = [float((audio - made.seen(audio, data)).square().mean()) for audio in (x, full)]
    assert above[1] > 100 * above[0]
    torch.testing.assert_close(*(made.seen(audio, {"band": band - 300}) for audio in (x, full)))
