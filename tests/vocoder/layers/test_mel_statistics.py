import torch

from vocoder.layers.mel_statistics import SCALARS, STEPS, THRESHOLDS, mel_statistics, tempo_statistics

VALUES = SCALARS + len(THRESHOLDS)


def mels(frames=50):
    generator = torch.Generator().manual_seed(0)
    return -6.0 + 2.0 * torch.randn(2, 20, frames, generator=generator).cumsum(dim=2).clamp(-2.0, 2.0)


def of(mels):
    return torch.stack([torch.from_numpy(mel_statistics(mel.numpy())) for mel in mels])


def test_correlations_and_changes_are_what_they_are_called():
    mel = mels()[0]
    x = (mel - mel.mean()) / mel.std(correction=0)
    found = of(mel[None])[0, VALUES:].split(20)
    torch.testing.assert_close(found[0], x.mean(dim=1), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found[1], (x.std(dim=1, correction=0) + 1e-2).log(), atol=1e-4, rtol=1e-4)
    expected = torch.corrcoef(x).diagonal(1)
    torch.testing.assert_close(found[3][:19], expected, atol=0.02, rtol=0.0)
    changes = (x.diff(dim=1).square().mean(dim=1) + 1e-4).log()
    torch.testing.assert_close(found[9], changes, atol=1e-4, rtol=1e-4)
    tempo = torch.from_numpy(tempo_statistics(20))[VALUES:].split(20)
    assert tempo[9].tolist() == [1.0] * 20
    assert sum(int(part.sum()) for part in tempo) == 20 + 2 * len(STEPS) * 4


def test_level_and_logarithm_count_in_the_values_alone():
    one, other = of(mels()), of(mels() * 0.4343 + 3.0)
    torch.testing.assert_close(one[:, VALUES:], other[:, VALUES:], atol=2e-3, rtol=1e-3)
    assert float((one[:, :VALUES] - other[:, :VALUES]).abs().max()) > 0.1


def test_shares_are_of_values_above_each_threshold():
    mel = mels()
    found = of(mel)[:, SCALARS:VALUES]
    expected = torch.stack([(mel > level).float().mean(dim=(1, 2)) for level in THRESHOLDS], dim=1)
    torch.testing.assert_close(found, expected)


def test_one_value_everywhere_is_no_division_by_zero():
    assert bool(torch.isfinite(of(torch.full((1, 20, 4), -5.0))).all())
