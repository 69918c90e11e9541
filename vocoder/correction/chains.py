"""Utterances as chains that can be corrected independently, at once or as their audio comes."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vocoder.correction.order import BLOCK, Order
from vocoder.stages import Span

Run = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""from the first frame, audio, target and existing frames of chains to the corrected chains, as `PlainCorrection`"""


@dataclass
class _Chain:
    """A chain on its way: hops that it has made, and the samples (B, T) that its window still reaches into."""

    hop: int
    active: Tensor


class Chains:
    """The stage of a correction, which remembers the chains that a piece of audio ends within."""

    def __init__(self, order: Order, run: Run) -> None:
        self._order, self._run = order, run
        self._unfinished: dict[int, _Chain] = {}

    def __call__(self, span: Span, x: Tensor, mel: Tensor) -> Tensor:
        """Return the wanted frames (B, 1, T) of the windows of audio x (B, 1, T) and of the mel (B, n_mels, frames)."""
        order, ended = self._order, span.last < span.stop + self._order.after
        if ended and span.last * order.hop_length <= order.padding:
            return x[:, :, (span.start - span.first) * order.hop_length :]
        view = View(order, span, x[:, 0], mel, ended)
        whole = self._whole(span)
        pieces = [self._advance(block, span, view) for block in range(span.start // BLOCK, whole.start)]
        if whole:
            pieces.append(self._together(whole, span, view))
        pieces += [self._advance(block, span, view) for block in range(whole.stop, -(-span.stop // BLOCK))]
        return torch.cat(pieces, dim=1)[:, None]

    def _whole(self, span: Span) -> range:
        """Return the blocks that are wanted whole; the last of an utterance may be short."""
        first = -(-span.start // BLOCK)
        return range(first, max(first, -(-span.stop // BLOCK) if span.stop == span.last else span.stop // BLOCK))

    def _together(self, blocks: range, span: Span, view: "View") -> Tensor:
        """Return what is wanted of whole chains (B, T), side by side."""
        order, first = self._order, blocks.start * BLOCK
        stop = min(span.stop, blocks.stop * BLOCK)
        made = self._run(first - order.warm_up, *side_by_side(order, stop, view, first))
        return joined(order, stop - first, made, view.batch)

    def _advance(self, block: int, span: Span, view: "View") -> Tensor:
        """Return what is wanted of a chain (B, T), from where it stands or, if it is new, from its start."""
        order, first = self._order, block * BLOCK
        start, stop = max(span.start, first), min(span.stop, first + BLOCK)
        begin = first - order.before
        chain = self._unfinished.pop(block, None) or _Chain(0, view.audio(begin, begin + order.slots - 1))
        hops = order.before + stop - first - chain.hop
        coming = begin + order.slots - 1 + chain.hop
        audio = torch.cat([chain.active, view.audio(coming, coming + hops)], dim=1)
        frame = first - order.warm_up + chain.hop
        target, exists = view.target(frame, frame + hops + order.corrections - 1)
        made = self._run(frame, audio, target, exists.expand(view.batch, -1))
        final = hops * order.hop_length
        if stop < first + BLOCK:
            self._unfinished[block] = _Chain(chain.hop + hops, made[:, final:])
        return made[:, final - (stop - start) * order.hop_length : final]


class View:
    """Audio (B, T) and mel (B, n_mels, frames) of an utterance, as far as the windows show them, and what is beyond."""

    def __init__(self, order: Order, span: Span, x: Tensor, mel: Tensor, ended: bool) -> None:
        self.batch = x.shape[0]
        self._hop_length, self._first, self._mel = order.hop_length, span.first, mel
        reflected = order.padding if span.first == 0 else 0, order.padding if ended else 0
        self._before = reflected[0]
        self._x = F.pad(x[:, None], reflected, mode="reflect")[:, 0] if any(reflected) else x

    @classmethod
    def whole(cls, order: Order, x: Tensor, mel: Tensor) -> "View":
        """Return the view of a whole utterance x (T,) and its mel (n_mels, frames)."""
        return cls(order, Span(0, 0, mel.shape[1], mel.shape[1]), x[None], mel[None], ended=True)

    def audio(self, first: int, last: int) -> Tensor:
        """Return the slots from `first` to before `last`, (B, T): reflected at the ends, and 0 beyond that."""
        start = (first - self._first) * self._hop_length + self._before
        stop = (last - self._first) * self._hop_length + self._before
        return _cut(self._x, start, stop)

    def target(self, first: int, last: int) -> tuple[Tensor, Tensor]:
        """Return the mel (B, frames, n_mels) of the frames from `first` to before `last`, and which exist (frames,)."""
        start, stop = first - self._first, last - self._first
        exist = _cut(self._mel.new_ones(self._mel.shape[2]), start, stop)
        return _cut(self._mel, start, stop).transpose(1, 2), exist


def side_by_side(order: Order, stop: int, view: View, first: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Return the chains of utterances from frame `first` to before `stop`, one utterance after another.

    They are audio, target and which frames exist, as `PlainCorrection.forward` takes them.
    """
    slots = order.slots - 1 + order.hops
    last = (-(-stop // BLOCK) - 1) * BLOCK
    audio = view.audio(first - order.before, last - order.before + slots)
    target, exists = view.target(first - order.warm_up, last - order.warm_up + order.frames)
    return (
        audio.unfold(1, slots * order.hop_length, BLOCK * order.hop_length).flatten(0, 1),
        target.unfold(1, order.frames, BLOCK).transpose(2, 3).flatten(0, 1),
        exists.unfold(0, order.frames, BLOCK).repeat(view.batch, 1),
    )


def joined(order: Order, frames: int, made: Tensor, batch: int) -> Tensor:
    """Return the audio (B, T) of utterances, from all their corrected chains."""
    own = made[:, order.before * order.hop_length : (order.before + BLOCK) * order.hop_length]
    return own.reshape(batch, -1)[:, : frames * order.hop_length]


def _cut(x: Tensor, start: int, stop: int) -> Tensor:
    """Return x[..., start:stop], with zeros where x has nothing."""
    before, after = max(-start, 0), max(stop - x.shape[-1], 0)
    return F.pad(x, (before, after))[..., start + before : stop + before]
