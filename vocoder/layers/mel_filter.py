"""Filters that move the mel of a spectrum towards a target."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.kernels.memory import LANES, LEAST_POWER, MAX_DIFFERENCE
from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import mel_filterbank


class MelFilter(nn.Module):
    """Compares the mel of a spectrum with a target, and spreads the difference from bands to bins.

    A bin takes the mean of the bands that contain it, weighted by their triangles (`share`). Outer bins, which lie in a
    single band, follow it only in proportion to their weight in it (`spread`); otherwise repeated filters would
    raise a bin that hardly affects any band without limit. There are no parameters.
    """

    def __init__(self, config: MelConfig) -> None:
        super().__init__()
        self.floor = config.floor
        filterbank = mel_filterbank(config).to(torch.get_default_dtype())
        padding = (config.n_fft - config.win_length) // 2
        window = F.pad(torch.hann_window(config.win_length), (padding, padding))
        total, peaks = filterbank.sum(dim=0), filterbank.amax(dim=1, keepdim=True)
        lowest = torch.where(filterbank > 0, peaks, torch.inf).amin(dim=0)  # lowest peak of the bands around a bin
        lowest = torch.where(lowest.isfinite(), lowest, 1.0)
        self.window = nn.Buffer(window, persistent=False)  # of the spectra, (n_fft,)
        self.filterbank = nn.Buffer(filterbank, persistent=False)
        self.share = nn.Buffer(filterbank / total.clamp_min(1e-12), persistent=False)
        self.spread = nn.Buffer(filterbank / torch.maximum(total, lowest), persistent=False)

    def difference(self, real: Tensor, imaginary: Tensor, target: Tensor) -> Tensor:
        """Return by how much the mel of spectra (..., bins) is below the target (..., n_mels), in nepers."""
        magnitude = (real.square() + imaginary.square() + LEAST_POWER).sqrt()
        own = (magnitude @ self.filterbank.T).clamp_min(self.floor).log()
        return (target - own).clamp(-MAX_DIFFERENCE, MAX_DIFFERENCE)


Pair = tuple[Tensor, Tensor]


def vector_tables(bank: Tensor, spread: Tensor) -> tuple[Pair, Pair]:
    """Arrange a filterbank and its spread, both (bands, bins), for `vocoder.kernels.mel_filter`.

    There must be at least eight bands. They are grouped by eight; the last group may repeat some. Returns the first bin
    of each band and the number of vectors that it and three others take, (2, bands) int32; the weights of each four
    bands, vector by vector; the first band of each vector of bins, and the one after its last, (2, vectors) int32; and
    the shares of the bins in these bands.
    """
    (count, bins), place = bank.shape, torch.arange(LANES)
    fours = (torch.arange(0, count, LANES).clamp_max(count - LANES)[:, None] + place).view(-1, 4)
    first, stop = _span_of(bank != 0)
    sizes = (-(-(stop - first) // LANES) * LANES)[fours].amax(dim=1, keepdim=True).expand(-1, 4)
    first = torch.minimum(first[fours], bins + LANES - sizes)
    padded = F.pad(bank, (0, LANES))
    vectors = -(-int(_span_of((bank != 0).any(dim=0)[None])[1]) // LANES)
    shares = F.pad(spread, (0, LANES))[:, : LANES * vectors].view(count, vectors, LANES)
    begin, end = _span_of((shares != 0).any(dim=2).t())
    weights = [
        torch.stack([padded[m, a : a + size] for m, a in zip(*four, strict=True)]).view(4, -1, LANES).transpose(0, 1)
        for size, *four in zip(sizes[:, 0].tolist(), fours.tolist(), first.tolist(), strict=True)
    ]
    spread_out = [shares[a:b, v] for v, (a, b) in enumerate(zip(begin.tolist(), end.tolist(), strict=True))]
    bands, spans = torch.stack([first.flatten(), sizes.flatten() // LANES]).int(), torch.stack([begin, end]).int()
    heard = torch.cat([each.flatten() for each in weights])
    return (bands, heard), (spans, torch.cat(spread_out).flatten())


def _span_of(inside: Tensor) -> tuple[Tensor, Tensor]:
    """Return the index (N,) of the first true value in each row (N, places), and the one after the last, or zeros."""
    first, stop = inside.int().argmax(dim=1), inside.shape[1] - inside.flip(1).int().argmax(dim=1)
    return first, torch.where(inside.any(dim=1), stop, 0)
