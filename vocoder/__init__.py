"""Neural vocoders based on normalizing flows: from mel-spectrograms to waveforms.

Public names are imported on first use, so importing the package or its client does not load torch.
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
    from vocoder.mel.config import MelWarning as MelWarning
    from vocoder.mel.config import preset as preset
    from vocoder.mel.config_file import load_mel_config as load_mel_config
    from vocoder.mel.convert import MelMismatchError as MelMismatchError
    from vocoder.mel.spectrogram import MelSpectrogram as MelSpectrogram
    from vocoder.mel.values import MelError as MelError
    from vocoder.models.waveglow import WaveGlow as WaveGlow
    from vocoder.models.waveglow import WaveGlowConfig as WaveGlowConfig
    from vocoder.synthesis.synthesizer import Synthesizer as Synthesizer

_NAMES = {
    "admission": ("UnlikelyMelError",),
    "audio.reading": ("AudioError",),
    "config": ("ConfigError",),
    "directories": ("CheckpointError", "shipped_models"),
    "guard.guard": ("check",),
    "loading": ("DeviceError", "load"),
    "mel.config": ("MelConfig", "MelWarning", "preset"),
    "mel.config_file": ("load_mel_config",),
    "mel.convert": ("MelMismatchError",),
    "mel.spectrogram": ("MelSpectrogram",),
    "mel.values": ("MelError",),
    "models.waveglow": ("WaveGlow", "WaveGlowConfig"),
    "synthesis.synthesizer": ("Synthesizer",),
}
"""module -> its public names"""
_MODULES = {name: f"vocoder.{module}" for module, names in _NAMES.items() for name in names}
__all__ = ["__version__", *_MODULES]


def __getattr__(name: str) -> Any:
    """Import a public name on first use and keep it as a module attribute."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
