"""Turn hidden frames into audio: filter an excitation to the spectrum of each frame and scale it to its mel."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.config import Checked, Positive, Rules
from vocoder.kernels.launcher import FLOATS, compilable, kernel
from vocoder.kernels.memory import LANES, MAX_BOOST
from vocoder.layers.mel_filter import MelFilter, Pair, vector_tables
from vocoder.layers.product import Kept, Product
from vocoder.mel.config import MelConfig
from vocoder.stages import overlap_add


@dataclass(frozen=True)
class SpectrumHeadConfig(Checked):
    """The mel config and bounds of a spectrum head; raises a ConfigError if spectra cannot be scaled to such mels."""

    mel: MelConfig
    log_gain_bound: Positive = 4.0
    """soft bound of the excitation's log-gain in each bin, in nepers"""
    shift_bound: Positive = 2.0
    """soft bound of the difference between the head's target mel and the given one, in nepers"""

    def _rules(self) -> Rules:
        needed = "natural-log magnitude mels without statistics, with n_fft a multiple of hop_length"
        yield self.mel.correctable, f"a spectrum head needs {needed}, not {self.mel.name!r} mels"


class SpectrumHead(nn.Module):
    """Filters an excitation in the frequency domain with learned filters, like a source-filter vocoder.

    The spectrum of a frame is exp(envelope) * (exp(log_gain) * excitation + addition). The mel determines the envelope.
    The network outputs a gain for each bin, which shapes the excitation, and a free addition. Each spectrum is then
    scaled so that its mel is the target: the given mel plus a shift from the network, since predicted mels lack detail
    of real speech. Overlap-add turns the spectra into audio (Griffin and Lim, 1984, equation 6; Vocos, arXiv
    2306.00814, ends in the same way).

    Spectra are (B, 2 * bins, frames): real parts, then imaginary parts. Frame n is centred at sample n * hop_length.
    """

    def __init__(self, config: SpectrumHeadConfig, channels: int) -> None:
        super().__init__()
        mel = config.mel
        self.config = config
        self.n_fft, self.hop_length, self.bins = mel.n_fft, mel.hop_length, mel.n_fft // 2 + 1
        self.lead = -(-self.n_fft // (2 * self.hop_length))
        """frames on each side of a frame's centre that its window covers, which is also the look-ahead of the audio"""
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.end = Product(channels, 3 * self.bins)
        self.shift = Product(channels, mel.n_mels)
        self.filter = MelFilter(mel)
        self._tables: Kept[tuple[Pair, ...]] = Kept()
        self.extended = nn.Buffer(_extended(self.filter.share), persistent=False)
        self.width = nn.Buffer(self.filter.filterbank.sum(dim=1).clamp_min(1e-12).log(), persistent=False)
        with torch.no_grad():
            for layer in (self.end, self.shift):
                layer.weight.mul_(0.05)
                layer.bias.zero_()

    def analysed(self, x: Tensor) -> Tensor:
        """Return the spectra (B, 2 * bins, frames) of audio x (B, 1, T); white noise of variance 1 has power 1."""
        half, frames = self.n_fft // 2, x.shape[2] // self.hop_length
        seen = F.pad(x[:, 0], (half, half)).unfold(1, self.n_fft, self.hop_length)[:, :frames]
        spectrum = torch.fft.rfft(seen * (self.filter.window / self.filter.window.square().sum().sqrt()))
        return torch.cat([spectrum.real, spectrum.imag], dim=2).transpose(1, 2)

    def normed(self, hidden: Tensor) -> Tensor:
        """Normalise hidden frames (B, C, frames) and convert them to the dtype of the following products."""
        rows: Tensor = self.norm(hidden.transpose(1, 2))
        return rows.to(self.end.dtype).transpose(1, 2)

    def target(self, normed: Tensor, mel: Tensor) -> Tensor:
        """Return the target mel (B, n_mels, frames) for normed frames (B, C, frames) and the given mel."""
        shift, bound = self.shift(normed.transpose(1, 2)).to(mel.dtype), self.config.shift_bound
        return mel + (bound * torch.tanh(shift / bound)).transpose(1, 2)

    def spectrum(self, normed: Tensor, excitation: Tensor, mel: Tensor, target: Tensor) -> Tensor:
        """Return spectra (B, 2 * bins, frames) whose mel is the target, from those of the excitation and the mel."""
        made: Tensor = self.end(normed.transpose(1, 2))
        given = (excitation.transpose(1, 2), mel.transpose(1, 2), target.transpose(1, 2))
        fit = compilable(made, *FLOATS) and all(compilable(x) for x in (*given, self.extended))
        run = kernel("head", "spectra", made.dtype) if fit and len(self.extended) >= LANES else None
        if run is None:
            return self._plain(made.to(mel.dtype), *given).transpose(1, 2)
        batch, frames, _ = made.shape
        out = made.new_empty(batch * frames, 2 * self.bins, dtype=torch.float32)
        rows = tuple(x.reshape(batch * frames, x.shape[2]).contiguous() for x in (made, *given))

        def arranged() -> tuple[Pair, ...]:  # of the extended bands, which cover all bins, and of the filterbank
            filterbank = vector_tables(self.filter.filterbank, self.filter.spread)
            return (vector_tables(self.extended, self.extended)[1], *filterbank)

        bounds, tables = (self.config.log_gain_bound, self.filter.floor), self._tables.of((self.extended,), arranged)
        run(batch * frames, bounds, rows, (self.width, *tables), out)
        return out.view(batch, frames, -1).transpose(1, 2)

    def _plain(self, made: Tensor, excitation: Tensor, mel: Tensor, target: Tensor) -> Tensor:
        """Compute the spectra in plain operations; all signals are (B, frames, C)."""
        log_gain, real, imaginary = torch.split(made, self.bins, dim=2)
        bound = self.config.log_gain_bound
        gain = torch.exp(bound * torch.tanh(log_gain / bound))
        envelope = torch.exp((mel - self.width) @ self.extended)
        excited = torch.split(excitation, self.bins, dim=2)
        real, imaginary = envelope * (gain * excited[0] + real), envelope * (gain * excited[1] + imaginary)
        move = self.filter.difference(real, imaginary, target).clamp(-MAX_BOOST, MAX_BOOST)
        scale = torch.exp(move @ self.filter.spread)
        return torch.cat([scale * real, scale * imaginary], dim=2)

    def audio(self, spectrum: Tensor, owned: Tensor | None = None) -> Tensor:
        """Turn spectra (B, 2 * bins, frames) into audio (B, 1, frames * hop_length), of frames whose `owned` is 1."""
        real, imaginary = torch.split(spectrum.transpose(1, 2), self.bins, dim=2)
        frames: Tensor = torch.fft.irfft(torch.complex(real, imaginary), n=self.n_fft)
        counts = frames.new_ones(frames.shape[1]) if owned is None else owned
        run = kernel("head", "overlapped") if all(map(compilable, (frames, counts, self.filter.window))) else None
        if run is None:
            return self._overlapped(frames, counts)
        out = frames.new_empty(frames.shape[0] * len(counts), self.hop_length)
        run(len(out), frames.contiguous(), counts, self.filter.window, out)
        return out.view(frames.shape[0], 1, -1)

    def _overlapped(self, frames: Tensor, counts: Tensor) -> Tensor:
        """Overlap and add frames (B, frames, n_fft) and undo their windows; `counts` is 1 for frames that count."""
        total = overlap_add(frames * self.filter.window * counts[:, None], self.hop_length)
        pieces = self.filter.window.square().view(-1, self.hop_length)
        beyond = len(pieces) - 1
        covering = torch.stack([F.pad(counts, (i, beyond - i)) for i in range(len(pieces))], dim=1)
        weight = (covering @ pieces).flatten()
        half, length = self.n_fft // 2, counts.shape[0] * self.hop_length
        return (total / weight.clamp_min(1e-3))[:, None, half : half + length]


def _extended(spread: Tensor) -> Tensor:
    """Extend the outer bands of a spread (n_mels, bins) to the bins outside of all bands."""
    inside = (spread.sum(dim=0) > 0).to(torch.int64)
    below, above = inside.cumsum(0) == 0, inside.flip(0).cumsum(0).flip(0) == 0
    extended = spread.clone()
    extended[0] = torch.where(below, 1.0, spread[0])
    extended[-1] = torch.where(above, 1.0, extended[-1])
    return extended
