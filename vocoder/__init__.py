"""Neural vocoders of normalizing flows: mel-spectrograms to waveforms."""

from vocoder.guard.guard import check
from vocoder.loading import load, shipped_models
from vocoder.mel.config import MelConfig, preset
from vocoder.mel.spectrogram import MelSpectrogram
from vocoder.models.waveglow import WaveGlow
from vocoder.models.waveglow_config import WaveGlowConfig
from vocoder.synthesizer import Synthesizer

__all__ = [
    "MelConfig",
    "MelSpectrogram",
    "Synthesizer",
    "WaveGlow",
    "WaveGlowConfig",
    "__version__",
    "check",
    "load",
    "preset",
    "shipped_models",
]

__version__ = "0.1.0"
