"""The order in which frames are corrected, and the chains of frames that are corrected independently."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from vocoder.mel.config import MelConfig
from vocoder.stages import Span

BLOCK = 48
"""frames of a chain; chains begin at multiples of it and are independent of each other. With 16, half more frames are
corrected, most of them to be discarded, and PESQ is no better; with 64, two threads share a second less evenly."""
LEAST_WARM_UP = 8  # fewest frames that a chain corrects before its own
ENTERING, LEAVING, BETWEEN = 2.0, (0.8, 0.4, 0.8), 1.6
"""relaxation of a step for the frame that enters the window, for those that leave it next, and for all others"""
FEW, LEAVING_OF_FEW = 4, (1.0, 1.0, 1.3)
"""number of corrections up to which no step may be damped, and the relaxation of the frames that leave then"""

Run = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""corrects chains, given first frame, audio, target and existing frames; see `Correction.plain`"""


class Order:
    """The order of real-time iterative spectrogram inversion with look-ahead (Zhu, Beauregard and Wyse, 2007).

    A window over `corrections` mel frames moves along the utterance. At each position every frame in it is corrected
    once: first those of one grid, which overlap by half, then those of the next. Then the window moves on by one frame,
    and the frame that leaves it is final. Each frame is corrected as often as the window is long, with large steps
    after it enters and small ones before it leaves. A stream and a whole utterance use the same order, so they agree.

    Successive windows cannot be computed in parallel, so the utterance is cut into chains of `BLOCK` frames that begin
    at fixed positions. Each starts `warm_up` frames early from uncorrected audio, and that part is discarded.

    Positions are counted in slots of hop_length samples; slot u starts at sample u * hop_length.
    """

    def __init__(self, config: MelConfig, corrections: int) -> None:
        self.corrections = corrections
        """frames of the window, 1 or more, which is also the number of corrections of each frame"""
        self.hop_length, self.n_fft = config.hop_length, config.n_fft
        self.padding = config.padding  # samples by which the first frame begins before the first sample
        half = config.win_length == config.n_fft and config.n_fft % (2 * config.hop_length) == 0
        self.grids = config.n_fft // (2 * config.hop_length) if half else 1
        """interleaved grids of frames, which overlap by half if the window allows; grid i holds i, i + grids, ..."""
        self.stride = self.grids * self.hop_length  # samples between the frames of a grid
        self.lead = -(-self.padding // self.hop_length)
        """slots before a frame's own that its window covers, which is also the number of hops until a slot is final"""
        self.offset = self.lead * self.hop_length - self.padding
        """samples from the start of those slots to the frame's window"""
        self.slots = corrections - 1 - (-(self.n_fft + self.offset) // self.hop_length)
        """slots that the window of frames covers"""
        self.warm_up = max(LEAST_WARM_UP, corrections + 3)
        """frames that a chain corrects before its own, so that its first frame gets as many corrections as others"""
        self.before, self.after = self.warm_up + self.lead, self.slots - 1
        """context: slots before a chain's first one, and slots after a slot, with at most as many mel frames"""
        self.hops = self.before + BLOCK  # positions of the window in a chain; each of the last `BLOCK` completes a slot

    def relaxation(self, place: int) -> float:
        """Return the relaxation of a step for the frame at a place of the window; place 0 leaves it next."""
        if place < len(LEAVING):
            return (LEAVING if self.corrections > FEW else LEAVING_OF_FEW)[place]
        return ENTERING if place == self.corrections - 1 else BETWEEN


class Chains:
    """The stage of a correction; its state is the chains that are not finished at the end of a piece."""

    def __init__(self, order: Order, run: Run) -> None:
        self._order, self._run = order, run
        self._unfinished: dict[int, tuple[int, Tensor | None]] = {}
        """block -> number of hops done in its chain, and the samples (B, T) that the window still covers"""

    def __call__(self, span: Span, x: Tensor, mel: Tensor) -> Tensor:
        """Return the wanted frames (B, 1, T), given windows of audio x (B, 1, T) and mel (B, n_mels, frames)."""
        order, ended = self._order, span.last < span.stop + self._order.after
        if ended and span.last * order.hop_length <= order.padding:
            return x[:, :, (span.start - span.first) * order.hop_length :]
        view = View(order, span, x[:, 0], mel, ended)
        first = -(-span.start // BLOCK)  # first whole block; an utterance's last block may be short
        whole = range(first, max(first, -(-span.stop // BLOCK) if span.stop == span.last else span.stop // BLOCK))
        pieces = [self._advance(block, span, view) for block in range(span.start // BLOCK, whole.start)]
        if whole:
            start, stop = whole.start * BLOCK, min(span.stop, whole.stop * BLOCK)
            made = self._run(start - order.warm_up, *view.chains(start, len(whole), 0, order.hops))
            pieces.append(joined(order, stop - start, made, view.batch))
        pieces += [self._advance(block, span, view) for block in range(whole.stop, -(-span.stop // BLOCK))]
        return torch.cat(pieces, dim=1)[:, None]

    def _advance(self, block: int, span: Span, view: "View") -> Tensor:
        """Return the wanted part (B, T) of a chain, continuing it or starting a new one."""
        order, first = self._order, block * BLOCK
        start, stop = max(span.start, first), min(span.stop, first + BLOCK)
        hop, active = self._unfinished.pop(block, (0, None))
        hops = order.before + stop - first - hop
        audio, target, exists = view.chains(first, 1, hop, hops)
        if active is not None:
            audio = torch.cat([active, audio[:, active.shape[1] :]], dim=1)
        made = self._run(first - order.warm_up + hop, audio, target, exists)
        final = hops * order.hop_length
        if stop < first + BLOCK:
            self._unfinished[block] = hop + hops, made[:, final:]
        return made[:, final - (stop - start) * order.hop_length : final]


class View:
    """The windows of audio (B, T) and mel (B, n_mels, frames) of an utterance, extended beyond its ends."""

    def __init__(self, order: Order, span: Span, x: Tensor, mel: Tensor, ended: bool) -> None:
        self.batch = x.shape[0]
        self._order, self._first, self._mel = order, span.first, mel
        reflected = order.padding if span.first == 0 else 0, order.padding if ended else 0
        self._before = reflected[0]
        self._x = F.pad(x[:, None], reflected, mode="reflect")[:, 0] if any(reflected) else x

    def chains(self, first: int, count: int, hop: int, hops: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return `count` chains of each utterance from frame `first`, for `hops` hops from hop `hop`.

        They are the arguments of `Correction.plain`: audio, reflected at the ends and 0 beyond, target, and `exists`.
        """
        order, last = self._order, (count - 1) * BLOCK
        slots, frames = order.slots - 1 + hops, hops + order.corrections - 1
        slot, frame = first - order.before + hop - self._first, first - order.warm_up + hop - self._first
        start, stop = (order.hop_length * place + self._before for place in (slot, slot + last + slots))
        target = _cut(self._mel, frame, frame + last + frames).transpose(1, 2)
        exists = _cut(self._mel.new_ones(self._mel.shape[2]), frame, frame + last + frames)
        return (
            _cut(self._x, start, stop).unfold(1, slots * order.hop_length, BLOCK * order.hop_length).flatten(0, 1),
            target.unfold(1, frames, BLOCK).transpose(2, 3).flatten(0, 1),
            exists.unfold(0, frames, BLOCK).repeat(self.batch, 1),
        )


def joined(order: Order, frames: int, made: Tensor, batch: int) -> Tensor:
    """Join all corrected chains of utterances to audio (B, T)."""
    own = made[:, order.before * order.hop_length : (order.before + BLOCK) * order.hop_length]
    return own.reshape(batch, -1)[:, : frames * order.hop_length]


def _cut(x: Tensor, start: int, stop: int) -> Tensor:
    """Return x[..., start:stop], with zeros outside of x."""
    before, after = max(-start, 0), max(stop - x.shape[-1], 0)
    return F.pad(x, (before, after))[..., start + before : stop + before]
