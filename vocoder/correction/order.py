"""In which order the frames of an utterance are corrected, and what that makes of its length."""

from dataclasses import dataclass

from vocoder.mel.config import MelConfig

BLOCK = 48
"""frames of a chain: chains begin at multiples of it, and are independent of each other. At 16 half more frames are
corrected, most of them to be discarded, and PESQ is no better; at 64 two threads share a second less evenly."""
LEAST_WARM_UP = 8
"""frames that a chain corrects before its own at least"""
ENTERING, LEAVING, BETWEEN = 2.0, (1.0, 1.0, 1.3), 1.75
"""how far a step goes for the frame that enters the window, the ones that will leave it next, and all others"""


@dataclass(frozen=True)
class Order:
    """The order of real-time iterative spectrogram inversion with look-ahead (Zhu, Beauregard and Wyse, 2007).

    A window over `corrections` mel frames moves along the utterance. At each of its places every frame in it is
    corrected once: first those of one grid, which overlap by half, then those of the next. Then the window moves on by
    a frame, and what leaves it is final. A frame is corrected as often as the window is long, boldly where it enters
    and carefully before it leaves. The order is that of a stream, so that a stream and a whole utterance are the same.

    One window after another cannot be computed in parallel. So the utterance is cut into chains of `BLOCK` frames
    that begin at fixed places. Each starts `warm_up` frames early from uncorrected audio, and that part is discarded.

    Everything is counted in slots of hop_length samples; slot u holds the samples from u * hop_length on.
    """

    corrections: int
    """frames of the window, 1 or more; also how often each frame is corrected"""
    hop_length: int
    n_fft: int
    padding: int
    """samples that the first frame begins before the first sample"""
    grids: int
    """number of interleaved frame grids; grid i holds frames i, i + grids, ..."""

    @classmethod
    def of(cls, config: MelConfig, corrections: int) -> "Order":
        """Return the order for mels of a convention: grids whose frames overlap by half, where its window allows."""
        half = config.win_length == config.n_fft and config.n_fft % (2 * config.hop_length) == 0
        grids = config.n_fft // (2 * config.hop_length) if half else 1
        return cls(corrections, config.hop_length, config.n_fft, config.padding, grids)

    @property
    def lead(self) -> int:
        """Slots before a frame's own that its window reaches into; so many hops later a slot is final."""
        return -(-self.padding // self.hop_length)

    @property
    def offset(self) -> int:
        """Samples from the first of those slots to the frame's window."""
        return self.lead * self.hop_length - self.padding

    @property
    def slots(self) -> int:
        """Slots that the window of frames reaches into."""
        return self.corrections - 1 - (-(self.n_fft + self.offset) // self.hop_length)

    @property
    def warm_up(self) -> int:
        """Frames that a chain corrects before its own, so that its first frame is corrected as often as the others."""
        return max(LEAST_WARM_UP, self.corrections + 3)

    @property
    def hops(self) -> int:
        """Places of the window in a chain, the last `BLOCK` of which each make a slot final."""
        return self.warm_up + BLOCK + self.lead

    @property
    def frames(self) -> int:
        """Mel frames that a chain sees."""
        return self.hops + self.corrections - 1

    @property
    def stride(self) -> int:
        """Samples between the frames of a grid."""
        return self.grids * self.hop_length

    @property
    def before(self) -> int:
        """Slots before a chain's first that it depends on."""
        return self.warm_up + self.lead

    @property
    def after(self) -> int:
        """Slots, and mel frames at most, after a slot that it depends on."""
        return self.slots - 1

    def relaxation(self, place: int) -> float:
        """Return how far a step goes for the frame at a place of the window, 0 being the next to leave it."""
        if place < len(LEAVING):
            return LEAVING[place]
        return ENTERING if place == self.corrections - 1 else BETWEEN
