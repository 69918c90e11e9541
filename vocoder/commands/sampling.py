"""Arguments shared by the commands that use a model: the model, its device and its sampling."""

import argparse
from typing import get_args

from vocoder.audio.writing import AUDIO_FORMATS
from vocoder.config import DTYPES
from vocoder.loading import DEFAULT_MODEL, shipped_models
from vocoder.mel.config import ALIASES, PRESETS
from vocoder.sampling import SAMPLING_FIELDS, AdaptMode, Sampling

PRESET_HELP = f"a preset ({', '.join((*PRESETS, *ALIASES))}), or a YAML or JSON mel config file"


def add_model_arguments(parser: argparse.ArgumentParser, loaded: bool = True) -> None:
    """Declare `--model`, and if it is to be `loaded` also `--device` and `--dtype`."""
    shipped = ", ".join(shipped_models()) or "none in this installation"
    which = f"shipped name ({shipped}), model directory or Hugging Face repository (default: %(default)s)"
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="NAME|DIR", help=which)
    if loaded:
        devices = "torch device, such as cuda or cuda:1 (default: %(default)s)"
        parser.add_argument("--device", default="cpu", help=devices)
        dtypes = "precision of the products (default: the fastest that the device has; float32 for imported models)"
        parser.add_argument("--dtype", choices=DTYPES, help=dtypes)


def add_synthesis_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of commands that write audio: the model, the sampling, `--format` and `--no-origin`."""
    add_model_arguments(parser)
    add_sampling_arguments(parser)
    parser.add_argument("--format", choices=AUDIO_FORMATS, help="audio format (default: the file's suffix, or wav)")
    unmarked = "do not mark files as synthetic with model, version and seed"
    parser.add_argument("--no-origin", dest="origin", action="store_false", help=unmarked)


def add_sampling_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `--sigma`, `--seed`, `--denoise` and the arguments of `add_mel_arguments`."""
    parser.add_argument("--sigma", type=float, help="sampling temperature, 0 to 2 (default: the model's own)")
    parser.add_argument("--seed", type=int, help="seed of the noise, for reproducible audio (default: random)")
    hum = "how much of the model's own hum to remove, 0 to 1 (default: %(default)s)"
    parser.add_argument("--denoise", type=float, default=0.0, help=hum)
    add_mel_arguments(parser)


def add_mel_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `--corrections` and `--sharpen`."""
    corrections = "number of corrections towards the mel (default: the model's own; fewer are faster)"
    parser.add_argument("--corrections", type=int, metavar="N", help=corrections)
    sharpen = "how far to raise the contrast of the mel, 0 to 1 (default: as far as the mel lacks texture)"
    parser.add_argument("--sharpen", type=float, metavar="S", help=sharpen)


def sampling_of(args: argparse.Namespace) -> Sampling:
    """Return the sampling chosen by the arguments of `add_sampling_arguments`."""
    return Sampling(**{name: getattr(args, name) for name in SAMPLING_FIELDS})


def add_preset_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `--preset`, `--statistics` and `--adapt`."""
    source = f"mel config of the mels, if not the model's own: {PRESET_HELP}, or auto to recognise it"
    parser.add_argument("--preset", metavar="NAME|FILE", help=source)
    statistics = "npz or JSON file with mean and variance of normalised mels, or npy file with mean and deviation"
    parser.add_argument("--statistics", metavar="FILE", help=statistics)
    adapt = "off: refuse mels that only an adapter can convert (default: %(default)s)"
    parser.add_argument("--adapt", choices=get_args(AdaptMode), default="on", help=adapt)
