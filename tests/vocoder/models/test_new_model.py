"""CONTRIBUTING promises that a new model needs one file and one line to load, synthesize, stream and be served."""

from dataclasses import dataclass

import torch
from tiny_models import TINY_MEL
from torch import nn

from vocoder.checkpoint import load_model, save_model
from vocoder.models.base import FlowVocoder
from vocoder.models.families import FAMILIES, Family
from vocoder.sampling import Utterance
from vocoder.stages import MEL, NOISE, Stage, Z, silenced
from vocoder.synthesis.synthesizer import Synthesizer


@dataclass(frozen=True)
class ToyConfig:
    """Architecture of a toy model."""

    n_mels: int = 5
    hop_length: int = 8
    sample_rate: int = 8000
    corrections: int = 0
    sigma: float = 1.0


class Toy(FlowVocoder):
    """x = scale * z + shift, with scale and shift computed from three frames of the mel."""

    packs = True

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.network = nn.Conv1d(config.n_mels, 2 * config.hop_length, 3, padding=1)
        nn.init.normal_(self.network.weight, std=0.05)

    def forward(self, x, mel):
        shift, log_scale = self.network(mel).transpose(1, 2).chunk(2, dim=2)
        return ((x - shift.flatten(1)) * torch.exp(-log_scale.flatten(1)))[:, None], -log_scale.sum(dim=(1, 2))

    def stages(self, sigma=None, packing=None):
        sigma, gaps = self.config.sigma if sigma is None else sigma, None if packing is None else packing.gaps()

        def scaled(z, mel):
            shift, log_scale = self.network(silenced(mel, gaps)).transpose(1, 2).chunk(2, dim=2)
            log_scale = log_scale.flatten(1)[:, None]
            return z * torch.exp(log_scale) + shift.flatten(1)[:, None], log_scale

        return [Stage(Z, (NOISE,), lambda noise: sigma * noise), Stage("x", (Z, MEL), scaled, before=1, after=1)]


def mel(frames):
    return -6 + torch.randn(5, frames, generator=torch.Generator().manual_seed(frames))


def test_a_new_model_synthesizes_streams_and_shares_rows(tmp_path):
    families = {**FAMILIES, "toy": Family(ToyConfig, Toy)}
    directory = save_model(tmp_path / "toy", Toy(ToyConfig()), TINY_MEL, families=families)
    toy = Synthesizer(load_model(directory, families=families), "toy", "cpu", torch.float32)
    assert (toy.family, toy.sample_rate) == ("toy", 8000)
    whole = toy.synthesize(mel(70), seed=3)
    assert toy.open_stream(seed=3).lookahead == 1
    torch.testing.assert_close(torch.cat(list(toy.stream(mel(70), seed=3))), whole, rtol=0, atol=1e-6)
    options = (7, None), (3, 0.5), (12, 2.0)
    utterances = [Utterance(mel(frames), sigma=sigma, seed=frames) for frames, sigma in options]
    for x, utterance in zip(toy.synthesize_many(utterances), utterances, strict=True):
        alone = toy.synthesize(utterance.mel, sigma=utterance.sigma, seed=utterance.seed)
        torch.testing.assert_close(x, alone, rtol=0, atol=1e-6)
