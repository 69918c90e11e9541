"""Neural vocoders of normalizing flows: mel-spectrograms to waveforms."""

from vocoder.audio.file import AudioError
from vocoder.checkpoint import CheckpointError
from vocoder.config import ConfigError
from vocoder.guard.guard import check
from vocoder.guard.opinion import MelWarning, UnlikelyMelError
from vocoder.loading import load, shipped_models
from vocoder.machine.devices import DeviceError
from vocoder.mel.config import MelConfig, preset
from vocoder.mel.contract import contract
from vocoder.mel.convert import MelMismatchError
from vocoder.mel.input import MelError
from vocoder.mel.spectrogram import MelSpectrogram
from vocoder.models.waveglow import WaveGlow
from vocoder.models.waveglow_config import WaveGlowConfig
from vocoder.synthesizer import Synthesizer
from vocoder.version import __version__

__all__ = [
    "AudioError",
    "CheckpointError",
    "ConfigError",
    "DeviceError",
    "MelConfig",
    "MelError",
    "MelMismatchError",
    "MelSpectrogram",
    "MelWarning",
    "Synthesizer",
    "UnlikelyMelError",
    "WaveGlow",
    "WaveGlowConfig",
    "__version__",
    "check",
    "contract",
    "load",
    "preset",
    "shipped_models",
]
