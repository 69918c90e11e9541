"""`vocoder-train wavenet`: fit an autoregressive WaveNet, the teacher."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from training.data.datasets import SegmentConfig
from training.launch import CorpusRun, command_of, started_from
from training.objectives.wavenet import WaveNetLosses, WaveNetObjective
from vocoder.checkpoint import load_model
from vocoder.config import ConfigError
from vocoder.loading import model_directory
from vocoder.mel.config_file import load_mel_config
from vocoder.models.waveglow import WaveGlow
from vocoder.models.wavenet import WaveNet
from vocoder.models.wavenet_config import WaveNetModelConfig

__all__ = ["WaveNetRun", "add_arguments", "run"]


@dataclass(frozen=True)
class WaveNetRun(CorpusRun):
    """Everything that a run of `vocoder-train wavenet` depends on."""

    ORIGINS: ClassVar[tuple[str, ...]] = ("start_from", "fill_from")

    model: WaveNetModelConfig = field(default_factory=WaveNetModelConfig)
    losses: WaveNetLosses = field(default_factory=WaveNetLosses)
    segments: SegmentConfig = field(default_factory=lambda: SegmentConfig(segment_length=8192))
    start_from: str | None = None
    """directory or shipped name of the model whose weights the run starts from, to fine-tune it on other voices"""
    fill_from: str | None = None
    """directory or shipped name of a WaveGlow of the same mel, whose samples fill recordings above their band"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.model.lpc is not None and self.model.lpc.mel != self.mel:
            raise ConfigError(f"model.lpc.mel is {self.model.lpc.mel!r}, but mel is {self.mel!r}")
        if self.segments.segment_length <= self.losses.past:
            raise ConfigError(f"segment_length must be above losses.past, {self.losses.past} samples")

    def objective(self) -> WaveNetObjective:
        """Return the objective."""
        fresh = self.start_from is None
        model = WaveNet(self.model) if fresh else started_from(str(self.start_from), WaveNet, self.model)
        return WaveNetObjective(model, load_mel_config(self.mel), self.losses, self._filler())

    def _filler(self) -> WaveGlow | None:
        """Return the model whose samples fill recordings above their band.

        Raises:
            ConfigError: it is no WaveGlow, or takes other mels.
        """
        if self.fill_from is None:
            return None
        checkpoint = load_model(model_directory(self.fill_from))
        if not isinstance(checkpoint.model, WaveGlow) or checkpoint.mel_config != load_mel_config(self.mel):
            raise ConfigError(f"fill_from must be a WaveGlow that hears mels of {self.mel!r}; {self.fill_from} is not")
        return checkpoint.model


add_arguments, run = command_of(WaveNetRun)
