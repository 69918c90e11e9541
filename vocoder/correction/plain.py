"""The correction in plain PyTorch: for gradients, exports and devices that have no compiled code."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.correction.chains import Order
from vocoder.layers.mel_filter import MelFilter
from vocoder.mel.config import MelConfig
from vocoder.stages import overlap_add


class PlainCorrection(nn.Module):
    """Correct chains of audio towards their mels, one place of the window after another.

    A step takes spectra of the mel convention's own windows, multiplies them by exp(relaxation * (target - own)),
    spread from the mel bands to the bins, and overlap-adds what that changes with the window that makes it the nearest
    signal (Griffin and Lim, 1984, equation 6). Phases are kept. It has no parameters.
    """

    def __init__(self, config: MelConfig) -> None:
        super().__init__()
        self.filter = MelFilter(config)

    def forward(self, order: Order, first: int, audio: Tensor, target: Tensor, exists: Tensor) -> Tensor:
        """Return the corrected chains (C, T); after each hop the first slot of its window is final.

        Args:
            order: of the frames.
            first: number of the first frame, or any that is on its grid.
            audio: (C, T) with T = (slots - 1 + hops) * hop_length.
            target: mel (C, hops + corrections - 1, n_mels).
            exists: (C, hops + corrections - 1), 1 for each frame of the utterance, and 0 beyond its ends.
        """
        size = (order.slots - 1) * order.hop_length
        active, final = audio[:, :size], []
        paces = exists.new_ones(order.corrections)
        for place in range(order.corrections):
            paces[place] = order.relaxation(place)
        for hop, slot in enumerate(torch.split(audio[:, size:], order.hop_length, dim=1)):
            active = torch.cat([active, slot], dim=1)
            for places in _grids(order, first + hop):
                frames = slice(hop + places.start, hop + places.stop, places.step)
                pace = (paces[places.start : places.stop : places.step] * exists[:, frames])[:, :, None]
                start = order.offset + places.start * order.hop_length
                active = self._step(order, active, start, target[:, frames], pace)
            final.append(active[:, : order.hop_length])
            active = active[:, order.hop_length :]
        return torch.cat([*final, active], dim=1)

    def share(self, order: Order) -> Tensor:
        """Return what the overlap-added changes are multiplied by, periodic in the stride of a grid: (stride,)."""
        pieces = self.filter.window.square().view(-1, order.stride)
        return pieces.sum(dim=0).clamp_min(1e-3).reciprocal()

    def at_once(self, order: Order, x: Tensor, mel: Tensor) -> Tensor:
        """Return audio (B, T) corrected towards its mel (B, n_mels, frames), all frames of a grid at once.

        Programs for other runtimes have no loop over frames. A frame is corrected as often as in the order of a stream,
        boldly until the last time, but the samples are not quite the same.
        """
        padded = F.pad(x[:, None], (order.padding, order.padding), mode="reflect")[:, 0]
        for i in range(order.corrections):
            pace = order.relaxation(0 if i + 1 == order.corrections else order.corrections - 2)
            for grid in range(order.grids):
                target = mel[:, :, grid :: order.grids].transpose(1, 2)
                padded = self._step(order, padded, grid * order.hop_length, target, padded.new_full((1,), pace))
        return padded[:, order.padding : order.padding + x.shape[1]]

    def _step(self, order: Order, active: Tensor, start: int, target: Tensor, pace: Tensor) -> Tensor:
        """Return samples (C, T) after frames of a grid were corrected towards a mel (C, frames, n_mels).

        The first frame's window begins at sample `start`. `pace`, how far to go, broadcasts to (C, frames, n_mels).
        """
        n_fft, count = order.n_fft, target.shape[1]
        seen = active[:, start : start + (count - 1) * order.stride + n_fft]
        spectrum = torch.fft.rfft(seen.unfold(1, n_fft, order.stride) * self.filter.window)
        move = pace * self.filter.difference(spectrum.real, spectrum.imag, target)
        change = torch.fft.irfft(spectrum * torch.expm1(self.filter.log_gain(move)), n=n_fft) * self.filter.window
        added = overlap_add(change, order.stride) * self.share(order).repeat(count + n_fft // order.stride - 1)
        return active + F.pad(added, (start, active.shape[1] - start - added.shape[1]))


def _grids(order: Order, frame: int) -> Iterator[range]:
    """Yield for each grid that has frames in the window from number `frame` on their places in it."""
    for grid in range(order.grids):
        places = range((grid - frame) % order.grids, order.corrections, order.grids)
        if places:
            yield places
