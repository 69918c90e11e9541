"""Neural vocoders of normalizing flows: mel-spectrograms to waveforms.

Names load what they need when they are first used, so that importing the package or its client loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vocoder.version import __version__

if TYPE_CHECKING:
    from vocoder.admission import UnlikelyMelError as UnlikelyMelError
    from vocoder.audio.reading import AudioError as AudioError
    from vocoder.config import ConfigError as ConfigError
    from vocoder.directories import CheckpointError as CheckpointError
    from vocoder.directories import shipped_models as shipped_models
    from vocoder.guard.guard import check as check
    from vocoder.loading import DeviceError as DeviceError
    from vocoder.loading import load as load
    from vocoder.mel.config import MelConfig as MelConfig
    from vocoder.mel.config import preset as preset
    from vocoder.mel.config_file import load_mel_config as load_mel_config
    from vocoder.mel.convert import MelMismatchError as MelMismatchError
    from vocoder.mel.spectrogram import MelSpectrogram as MelSpectrogram
    from vocoder.mel.values import MelError as MelError
    from vocoder.models.waveglow import WaveGlow as WaveGlow
    from vocoder.models.waveglow import WaveGlowConfig as WaveGlowConfig
    from vocoder.synthesis.synthesizer import MelWarning as MelWarning
    from vocoder.synthesis.synthesizer import Synthesizer as Synthesizer

_MODULES = {
    "AudioError": "vocoder.audio.reading",
    "CheckpointError": "vocoder.directories",
    "ConfigError": "vocoder.config",
    "check": "vocoder.guard.guard",
    "UnlikelyMelError": "vocoder.admission",
    "MelWarning": "vocoder.synthesis.synthesizer",
    "load": "vocoder.loading",
    "shipped_models": "vocoder.directories",
    "DeviceError": "vocoder.loading",
    "MelConfig": "vocoder.mel.config",
    "preset": "vocoder.mel.config",
    "load_mel_config": "vocoder.mel.config_file",
    "MelMismatchError": "vocoder.mel.convert",
    "MelError": "vocoder.mel.values",
    "MelSpectrogram": "vocoder.mel.spectrogram",
    "WaveGlow": "vocoder.models.waveglow",
    "WaveGlowConfig": "vocoder.models.waveglow",
    "Synthesizer": "vocoder.synthesis.synthesizer",
}
"""public name -> module that defines it"""
__all__ = ["__version__", *_MODULES]


def __getattr__(name: str) -> Any:
    """Return a public name, from now on an attribute like any other."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
