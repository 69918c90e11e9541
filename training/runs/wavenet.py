"""`vocoder-train wavenet`: fit an autoregressive WaveNet, the teacher, by likelihood."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from training.data.datasets import SegmentConfig
from training.loop.objective import Batch, Parts
from training.run_config import command_of
from training.runs.corpus_run import CorpusRun, train
from training.runs.recordings import RecordingLosses, RecordingObjective, noisy
from training.start.inheritance import load_role, started_from
from vocoder.config import NotNegativeInt, Rules
from vocoder.mel.config import MelConfig
from vocoder.mel.config_file import load_mel_config
from vocoder.models.waveglow import WaveGlow
from vocoder.models.wavenet import WaveNet, WaveNetModelConfig


@dataclass(frozen=True)
class WaveNetLosses(RecordingLosses):
    """Settings of the noise added to audio, and of its scoring."""

    past: NotNegativeInt = 512
    """samples at the start of a segment that are not scored, because the model sees silence before them, not speech"""


@dataclass(frozen=True)
class WaveNetRun(CorpusRun):
    """The configuration of `vocoder-train wavenet`."""

    model: WaveNetModelConfig = field(default_factory=WaveNetModelConfig)
    losses: WaveNetLosses = field(default_factory=WaveNetLosses)
    segments: SegmentConfig = field(default_factory=lambda: SegmentConfig(segment_length=8192))
    start_from: str | None = None
    """model directory or shipped name to start from, to fine-tune it on other voices"""
    fill_from: str | None = None
    """directory or shipped name of a WaveGlow of the same mel, whose samples fill recordings above their band"""

    def _rules(self) -> Rules:
        yield from super()._rules()
        given, past = self.model.lpc.mel if self.model.lpc else self.mel, self.losses.past
        yield given == self.mel, f"model.lpc.mel is {given!r}, but mel is {self.mel!r}"
        yield self.segments.segment_length > past, f"segment_length must be greater than losses.past, {past} samples"

    def objective(self) -> "WaveNetObjective":
        """Return the objective."""
        mel_config = load_mel_config(self.mel)
        filler: Any = None if self.fill_from is None else load_role("fill_from", self.fill_from, mel_config).model
        model = started_from(self.start_from, WaveNet, self.model)
        return WaveNetObjective(model, mel_config, self.losses, filler)


class WaveNetObjective(RecordingObjective):
    """Negative log-likelihood in nats per sample of audio in [-1, 1], after dequantisation of 16 bits and noise.

    The first `past` samples of a segment are not scored: a segment is cut out of speech, so its first sample deviates
    by tens of gains, unlike in real audio, and its gradient would hide all others. Above a recording's band edge, a
    sample of `filler` from the same mel replaces the silence, which the model should not learn.
    """

    model: WaveNet
    losses: WaveNetLosses

    def __init__(self, model: WaveNet, mel_config: MelConfig, losses: WaveNetLosses, filler: WaveGlow | None) -> None:
        super().__init__(model, mel_config, losses, filler)
        self.filler = filler
        self.unscored += losses.past

    def parts(self, batch: Batch, step: int) -> Parts:
        """Return nats per sample."""
        x, mel = self.segments(batch)
        return {"nats": (1.0, self._score(noisy(self._filled(x, mel, batch), self.losses.noise), mel))}

    @torch.no_grad()
    def _filled(self, x: Tensor, mel: Tensor, batch: Batch) -> Tensor:
        """Return recordings (B, T) with the filler's sample above their band."""
        if self.filler is None or not self.limited(batch):
            return x
        return self.filled(x, self.filler.synthesize(mel), batch)

    def _score(self, x: Tensor, mel: Tensor) -> Tensor:
        params, past = self.model.conditionals(x, mel), self.losses.past
        return -self.model.distribution.log_prob(params[:, :, past:], x[:, past:]).mean()


add_arguments, run = command_of(WaveNetRun, train)
