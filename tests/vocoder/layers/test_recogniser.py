import torch

from vocoder.layers.recogniser import SCALARS, THRESHOLDS, mel_statistics

VALUES = SCALARS + len(THRESHOLDS)


def mels(frames=50):
    generator = torch.Generator().manual_seed(0)
    return -6.0 + 2.0 * torch.randn(2, 20, frames, generator=generator).cumsum(dim=2).clamp(-2.0, 2.0)


def statistics_of(mels):
    return torch.stack([torch.from_numpy(mel_statistics(mel.numpy())) for mel in mels])


def test_level_and_logarithm_only_affect_the_values():
    one, other = statistics_of(mels()), statistics_of(mels() * 0.4343 + 3.0)
    torch.testing.assert_close(one[:, VALUES:], other[:, VALUES:], atol=2e-3, rtol=1e-3)
    assert float((one[:, :VALUES] - other[:, :VALUES]).abs().max()) > 0.1
    assert bool(torch.isfinite(statistics_of(torch.full((1, 20, 4), -5.0))).all())
