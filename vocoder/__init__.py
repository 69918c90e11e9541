"""Neural vocoders of normalizing flows: mel-spectrograms to waveforms.

Names load what they need when they are first used, so that importing the package or its client loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vocoder.version import __version__

if TYPE_CHECKING:
    from vocoder.admission import UnlikelyMelError
    from vocoder.audio.file import AudioError
    from vocoder.checkpoint import CheckpointError
    from vocoder.config import ConfigError
    from vocoder.guard.guard import check
    from vocoder.loading import DeviceError, load, shipped_models
    from vocoder.mel.config import MelConfig, preset
    from vocoder.mel.config_file import load_mel_config
    from vocoder.mel.convert import MelMismatchError
    from vocoder.mel.spectrogram import MelSpectrogram
    from vocoder.mel.values import MelError
    from vocoder.models.waveglow import WaveGlow
    from vocoder.models.waveglow_config import WaveGlowConfig
    from vocoder.synthesis.synthesizer import MelWarning, Synthesizer

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
    "load",
    "load_mel_config",
    "preset",
    "shipped_models",
]

_MODULES = {
    "AudioError": "vocoder.audio.file",
    "CheckpointError": "vocoder.checkpoint",
    "ConfigError": "vocoder.config",
    "check": "vocoder.guard.guard",
    "UnlikelyMelError": "vocoder.admission",
    "MelWarning": "vocoder.synthesis.synthesizer",
    "load": "vocoder.loading",
    "shipped_models": "vocoder.loading",
    "DeviceError": "vocoder.loading",
    "MelConfig": "vocoder.mel.config",
    "preset": "vocoder.mel.config",
    "load_mel_config": "vocoder.mel.config_file",
    "MelMismatchError": "vocoder.mel.convert",
    "MelError": "vocoder.mel.values",
    "MelSpectrogram": "vocoder.mel.spectrogram",
    "WaveGlow": "vocoder.models.waveglow",
    "WaveGlowConfig": "vocoder.models.waveglow_config",
    "Synthesizer": "vocoder.synthesis.synthesizer",
}
"""public name -> module that defines it"""


def __getattr__(name: str) -> Any:
    """Return a public name, from now on an attribute like any other."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
