import math

import pytest
import torch
from tiny_models import tiny_wavenet

from vocoder.checkpoint import Checkpoint
from vocoder.mel.config import preset
from vocoder.synthesis.synthesizer import Synthesizer

KINDS = {"gaussian": {"distribution": "gaussian"}, "mixture": {"distribution": "logistic", "components": 3}}


def tiny_batch(model, frames):
    config = model.config
    return 0.03 * torch.randn(2, config.hop_length * frames), -6 + torch.randn(2, config.n_mels, frames)


@pytest.mark.parametrize(("kind", "lpc"), [("gaussian", True), ("gaussian", False), ("mixture", False)])
def test_wavenet_is_a_causal_flow_with_a_density(kind, lpc):
    model = tiny_wavenet(lpc, **KINDS[kind])
    x, mel = (value.double() for value in tiny_batch(model.double(), frames=1 if lpc else 4))
    z, log_det = model(x, mel)
    size = x.shape[1]
    jacobian = torch.autograd.functional.jacobian(lambda v: model(v, mel[:1])[0], x[:1]).reshape(size, size)
    torch.testing.assert_close(torch.linalg.slogdet(jacobian)[1], log_det[0], rtol=1e-7, atol=1e-5)
    assert float(jacobian.triu(1).abs().max()) == 0.0
    assert float(jacobian.diagonal(-1).abs().min()) > 0.0
    flow = log_det - 0.5 * (z.square() + math.log(2 * math.pi)).sum(dim=(1, 2))
    torch.testing.assert_close(model.log_prob(x, mel), flow, rtol=0, atol=1e-7)
    noise = torch.randn_like(z)
    made, inverse_log_det = model.inverse(noise, mel)
    again, log_det = model(made, mel)
    torch.testing.assert_close(again, noise, rtol=0, atol=1e-6)
    torch.testing.assert_close(inverse_log_det, -log_det, rtol=1e-7, atol=1e-5)


def test_gradients_reach_the_audio_and_every_parameter():
    model = tiny_wavenet(**KINDS["mixture"]).requires_grad_()
    x, mel = tiny_batch(model, 2)
    x.requires_grad_()
    model.log_prob(x, mel).sum().backward()
    assert float(x.grad.abs().min()) > 0
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_streams_use_short_chunks():
    """Longer chunks do not make sample by sample generation faster, only later."""
    v = Synthesizer(Checkpoint(tiny_wavenet(), "wavenet", preset("nvidia")), "tiny", "cpu", torch.float32, "off")
    chunks = list(v.stream(-6 + torch.randn(80, 200), seed=1))
    assert [len(chunk) // 256 for chunk in chunks] == [8, 8, 16, 32, 64, 64, 8]
