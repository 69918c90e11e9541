"""Mels of presets compared with the code of the systems they are named after, on the same audio.

`make conventions-test` installs those packages; without them the tests are skipped.
"""

import math
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from recordings import RECORDING
from torch import Tensor

from vocoder.audio.reading import read_audio
from vocoder.mel.config import preset
from vocoder.mel.spectrogram import MelSpectrogram

PACKAGES = os.environ.get("CONVENTIONS_PACKAGES", "")

pytestmark = [
    pytest.mark.skipif(not PACKAGES, reason="make conventions-test installs the packages to compare with"),
    pytest.mark.filterwarnings("ignore"),
]


class _Anything:
    """Replaces anything from a missing package: a base class, a type, a decorator or a function."""

    def __call__(self, *given, **options):
        return given[0] if len(given) == 1 and callable(given[0]) and not options else self

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __getitem__(self, _):
        return self

    def __mro_entries__(self, _):
        return (object,)

    def __or__(self, _):
        return self

    __ror__ = __or__


class _StubModule(ModuleType):
    __path__: Sequence[str] = ()

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything()


class _Stubs(Loader, MetaPathFinder):
    """Finds a stub for every missing module that code in a directory imports."""

    def __init__(self, directory):
        self._directory = str(directory)

    def find_spec(self, name, path=None, target=None):
        frame = sys._getframe(1)
        while frame is not None and "importlib" in frame.f_code.co_filename:
            frame = frame.f_back
        imported_there = frame is not None and frame.f_code.co_filename.startswith(self._directory)
        return ModuleSpec(name, self, is_package=True) if imported_there else None

    def create_module(self, spec):
        return _StubModule(spec.name)

    def exec_module(self, module):
        """Leave the stub unchanged."""


def _loaded(name, file):
    spec = spec_from_file_location(name, file)
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@contextmanager
def module_of(name, directory, *, alone=False):
    """Import a module from a directory of packages without running the packages' own `__init__`.

    Missing modules become stubs, and with `alone` also the rest of its package.
    """
    directory = directory.absolute()
    path = directory.joinpath(*name.split("."))
    if not path.with_suffix(".py").is_file():
        raise ModuleNotFoundError(f"{directory} holds no module {name}")
    before, finder = dict(sys.modules), _Stubs(directory)
    parents = name.split(".")[:-1]
    sys.path.append(str(directory))
    sys.meta_path.append(finder)
    try:
        for depth in range(len(parents)):
            package = _StubModule(".".join(parents[: depth + 1]))
            package.__path__ = [] if alone else [str(directory.joinpath(*parents[: depth + 1]))]
            sys.modules[package.__name__] = package
        yield _loaded(name, path.with_suffix(".py"))
    finally:
        sys.meta_path.remove(finder)
        sys.path.remove(str(directory))
        for added, module in list(sys.modules.items()):
            if added not in before and (isinstance(module, _StubModule) or added.split(".")[0] == parents[0]):
                del sys.modules[added]


class Published(NamedTuple):
    """A published mel: its preset, its module, and a function that calls it for audio (1, T)."""

    preset: str
    module: str
    mel: Callable[[ModuleType, Tensor], Any]
    least: float = -math.inf  # value below which the two may differ, because the system's floor is higher
    alone: bool = False


def like_hifigan(name):
    """Return a function that calls `mel_spectrogram` with the arguments of HiFi-GAN."""
    config = preset(name)
    f_max = None if config.f_max == config.sample_rate / 2 else config.f_max
    framing = (config.n_fft, config.n_mels, config.sample_rate, config.hop_length, config.win_length)
    return lambda module, x: module.mel_spectrogram(x, *framing, 0, f_max)


def speechbrain(module, x):
    framing = {"sample_rate": 22050, "hop_length": 256, "win_length": 1024, "n_fft": 1024, "n_mels": 80}
    bands = {"f_min": 0.0, "f_max": 8000.0, "power": 1, "normalized": False, "norm": "slaney", "mel_scale": "slaney"}
    return module.mel_spectrogram(**framing, **bands, compression=True, audio=x)


def parallel_wavegan(*framing):
    return lambda module, x: module.logmelfilterbank(x[0].numpy(), *framing, fmin=80, fmax=7600).T


WAVEGAN = "parallel_wavegan.bin.preprocess"
EXACT = {
    "F5-TTS": Published("f5-tts", "f5_tts.model.modules", lambda m, x: m.get_vocos_mel_spectrogram(x)),
    "F5-TTS with BigVGAN": Published("bigvgan", "f5_tts.model.modules", lambda m, x: m.get_bigvgan_mel_spectrogram(x)),
    "Vocos": Published("vocos", "vocos.feature_extractors", lambda m, x: m.MelSpectrogramFeatures()(x)),
    "BigVGAN": Published("bigvgan", "bigvgan.meldataset", like_hifigan("bigvgan")),
    "BigVGAN, IndexTTS2's": Published("indextts2", "bigvgan.meldataset", like_hifigan("indextts2")),
    "Chatterbox": Published("chatterbox", "chatterbox.models.s3gen.utils.mel", lambda m, x: m.mel_spectrogram(x)),
    "Matcha-TTS": Published("matcha-tts", "matcha.utils.audio", like_hifigan("hifigan")),
    "CosyVoice 2 by Matcha's code": Published("cosyvoice2", "matcha.utils.audio", like_hifigan("cosyvoice2")),
    "CosyVoice 3 by Matcha's code": Published("cosyvoice3", "matcha.utils.audio", like_hifigan("cosyvoice3")),
    "ESPnet": Published(
        "espnet",
        "espnet2.tts.feats_extract.log_mel_fbank",
        lambda m, x: m.LogMelFbank(fs=22050)(x)[0].mT,
        least=-4.0,  # its floor applies to bins, not bands, so silence is -6.3
    ),
    "Parallel WaveGAN": Published("espnet", WAVEGAN, parallel_wavegan(22050, 1024, 256)),
    "Parallel WaveGAN at 24 kHz": Published("espnet-24k", WAVEGAN, parallel_wavegan(24000, 2048, 300, 1200)),
    "SpeechBrain": Published("nvidia", "speechbrain.lobes.models.HifiGAN", speechbrain),
}


def audio(config):
    """Return two seconds of speech (1, T) with hiss, so that rounding does not matter, followed by silence."""
    x, rate = read_audio(RECORDING, config.sample_rate)
    hiss = np.random.default_rng(5).standard_normal(2 * rate)
    loud = x[: 2 * rate] + 0.005 * hiss[: len(x)].astype(np.float32)
    return torch.from_numpy(np.concatenate([loud, np.zeros(rate // 5, np.float32)]))[None]


def both_mels(published):
    """Return our mel and theirs, (n_mels, frames)."""
    config = preset(published.preset)
    x = audio(config)
    with module_of(published.module, Path(PACKAGES), alone=published.alone) as module, torch.inference_mode():
        theirs = torch.as_tensor(published.mel(module, x)).squeeze(0)
    return MelSpectrogram(config)(x)[0], theirs


@pytest.mark.parametrize("system", EXACT)
def test_mels_equal_those_of_the_systems_code(system):
    ours, theirs = both_mels(EXACT[system])
    assert ours.min() < ours.max() - 3.0
    least = EXACT[system].least
    torch.testing.assert_close(ours.clamp_min(least), theirs.clamp_min(least), rtol=0, atol=1e-4)


def nemo(module, x, **changes):
    framing = {"sample_rate": 22050, "n_window_size": 1024, "n_window_stride": 256, "n_fft": 1024, "nfilt": 80}
    plain = {"normalize": None, "preemph": None, "dither": 0.0, "pad_to": 1, "mag_power": 1.0}
    guard = {"log_zero_guard_type": "add", "log_zero_guard_value": 1e-5}
    return module.FilterbankFeatures(**framing, **plain, **{**guard, **changes})(x, torch.tensor([x.shape[1]]))[0]


@pytest.mark.parametrize(("name", "f_max"), [("nvidia", 8000), ("nemo", None)])
def test_nemo_differs_by_its_window_edges_and_logarithm(name, f_max):
    """NeMo's window is symmetric, it pads with zeros and adds the floor: hardly audible, but above 1e-4."""
    module_name = "nemo.collections.asr.parts.preprocessing.features"
    ours, theirs = both_mels(Published(name, module_name, lambda m, x: nemo(m, x, highfreq=f_max), alone=True))
    frames = slice(3, min(ours.shape[1], theirs.shape[1]) - 3)
    added = (ours.exp() + 1e-5).log()
    audible = ours[:, frames] > -8.0
    assert audible.float().mean() > 0.5
    assert (added - theirs[:, : ours.shape[1]])[:, frames][audible].abs().max() < 0.03
