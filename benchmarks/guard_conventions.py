"""Mels in the conventions of other vocoders and with common mistakes, computed from audio."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from recipes.guard.variation import smoothed
from vocoder.audio.resampling import resample
from vocoder.mel.config import MelConfig, preset
from vocoder.mel.conventions import TORTOISE
from vocoder.mel.spectrogram import MelSpectrogram

PEAK = 0.999


@dataclass(frozen=True)
class Convention:
    """A wrong convention."""

    name: str
    mel: Callable[[Tensor], Tensor]  # from audio (T,) at 22,050 Hz
    cause: str | None  # that the guard should name; None where any will do
    preset: str | None = None  # that it should name
    normalised: bool = False  # by the mean and deviation of each band, over all the recordings at hand
    near: bool = False  # so near to the mel config that it is not expected to be told

    def names(self, cause: str, preset: str | None) -> bool:
        """Whether a verdict names this convention; always true if any name will do."""
        return self.cause is None or (cause, preset) == (self.cause, self.preset)

    def mels(self, audio: Sequence[Tensor]) -> list[Tensor]:
        """Return the mels (n_mels, frames) of recordings (T,)."""
        found = [self.mel(x) for x in audio]
        if not self.normalised:
            return found
        frames = torch.cat(found, dim=1)
        mean, deviation = frames.mean(dim=1, keepdim=True), frames.std(dim=1, keepdim=True)
        return [(mel - mean) / deviation for mel in found]


_transform = functools.cache(MelSpectrogram)


@torch.inference_mode()
def mel_of(x: Tensor, config: MelConfig) -> Tensor:
    """Return the mel (n_mels, frames) of audio (T,) at 22,050 Hz, resampled to the mel config's rate."""
    x = resample(x, 22050, config.sample_rate)
    return _transform(config)(x[None])[0].float()


def true_mel(x: Tensor) -> Tensor:
    """Return the mel of the preset nvidia."""
    return mel_of(x, preset("nvidia"))


def _preset(name: str, **changes: object) -> Callable[[Tensor], Tensor]:
    config = dataclasses.replace(preset(name), **changes)  # type: ignore[arg-type]
    return lambda x: mel_of(x, config)


_nvidia, _vocos = (functools.partial(_preset, name) for name in ("nvidia", "vocos"))


def _peak_normalised(compute: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: compute(PEAK * x / x.abs().max().clamp_min(1e-4))


def _decibels_to_unit(**changes: object) -> Callable[[Tensor], Tensor]:
    return _nvidia(log="db20", ref_db=20.0, range_db=100.0, **changes)


def _shuffled(axis: int) -> Callable[[Tensor], Tensor]:
    def mel(x: Tensor) -> Tensor:
        found = true_mel(x)
        return found.index_select(axis, torch.randperm(found.shape[axis], generator=torch.Generator().manual_seed(0)))

    return mel


def _db_of_power(x: Tensor) -> Tensor:
    return _nvidia(power=2.0)(x) * 10.0 / math.log(10.0)


def _square(x: Tensor) -> Tensor:
    mel = true_mel(x)
    start = max(0, (mel.shape[1] - 80) // 2)
    return F.pad(mel[:, start : start + 80], (0, max(0, 80 - mel.shape[1])), value=math.log(1e-5)).T


def _noisy(mel: Tensor, deviation: float) -> Tensor:
    return mel + deviation * torch.randn(mel.shape, generator=torch.Generator().manual_seed(0))


BANDS = {"f_min": 125.0, "f_max": 7600.0}
_TO_8 = _decibels_to_unit(**BANDS)
_TACOTRON = _preset("tacotron2-tf")

CONVENTIONS: tuple[Convention, ...] = (
    Convention("NeMo: bands to 11,025 Hz", _preset("nemo"), "bands", "nemo"),
    Convention("espnet: log10, bands 80 to 7600 Hz", _preset("espnet"), "log10", "espnet"),
    Convention("espnet, normalised by statistics", _preset("espnet"), "statistics", "espnet", True),
    Convention("r9y9: log10, bands 125 to 7600 Hz", _preset("r9y9"), "log10", "r9y9"),
    Convention("r9y9, normalised by statistics", _preset("r9y9"), "statistics", "r9y9", True),
    Convention("older r9y9: decibels, 0..1", _peak_normalised(_TO_8), "normalised", "r9y9"),
    Convention("Tacotron 2 in TensorFlow: decibels, -4..4", _peak_normalised(_TACOTRON), "symmetric", "tacotron2-tf"),
    Convention("SpeechT5: 16 kHz, log10, bands 80 to 7600 Hz", _preset("speecht5"), "log10", "speecht5"),
    Convention("decibels, -4..4, bands 125 to 7600 Hz", lambda x: 8.0 * _TO_8(x) - 4.0, "symmetric", "r9y9"),
    Convention("vocos: 24 kHz, 100 bands", _preset("vocos"), "bands", None),
    Convention("log10 for ln", _nvidia(log="log10"), "log10"),
    Convention("decibels for ln", _nvidia(log="db20"), "decibels"),
    Convention("decibels of power for ln", _db_of_power, "decibels"),
    Convention("decibels mapped to 0..1", _decibels_to_unit(), "normalised"),
    Convention("normalised by statistics", true_mel, "statistics", None, True),
    Convention("normalised by one mean and deviation", lambda x: (true_mel(x) + 5.54) / 2.12, "statistics"),
    Convention("no logarithm", lambda x: true_mel(x).exp(), "no-logarithm"),
    Convention("power for magnitude", _nvidia(power=2.0), "power"),
    Convention("audio of integers", lambda x: true_mel(32768.0 * x), "integers"),
    Convention("negated", lambda x: -true_mel(x), "negated"),
    Convention("transposed", lambda x: true_mel(x).T, "transposed"),
    Convention("transposed, 80 frames", _square, "transposed"),
    Convention("highest band first", lambda x: true_mel(x).flip(0), "upside-down"),
    Convention("frames shuffled", _shuffled(1), "shuffled"),
    Convention("bands shuffled", _shuffled(0), None),
    Convention("hop of 128", _nvidia(hop_length=128), "hop"),
    Convention("hop of 200", _nvidia(hop_length=200), "hop", near=True),
    Convention("hop of 300", _nvidia(hop_length=300), "hop", near=True),
    Convention("n_fft of 2048", _nvidia(n_fft=2048, win_length=2048), None, near=True),
    Convention("hop of 512", _nvidia(hop_length=512), "hop"),
    Convention("audio at 16 kHz", _nvidia(sample_rate=16000), "sample-rate"),
    Convention("audio at 24 kHz", _nvidia(sample_rate=24000), "sample-rate"),
    Convention("audio at 44.1 kHz", _nvidia(sample_rate=44100), "sample-rate"),
    Convention("silence", lambda x: torch.full((80, 100), math.log(1e-5)), "silence"),
    Convention(
        "white noise", lambda x: true_mel(0.1 * torch.randn(len(x), generator=torch.Generator().manual_seed(0))), None
    ),
)


_BIGVGAN = {"mel_scale": "slaney", "mel_norm": "slaney", "floor": 1e-5}

OF_100_BANDS: Mapping[str, tuple[Callable[[Tensor], Tensor], str | None]] = {
    "BigVGAN": (_vocos(**_BIGVGAN), "bigvgan:ln"),
    "BigVGAN, log10": (_vocos(**_BIGVGAN, log="log10"), "bigvgan:log10"),
    "BigVGAN, decibels": (_vocos(**_BIGVGAN, log="db20"), "bigvgan:db20"),
    "BigVGAN's bands as Tortoise maps them to -1..1": (
        lambda x: (_vocos(**_BIGVGAN)(x) - TORTOISE[0]) * 2.0 / (TORTOISE[1] - TORTOISE[0]) - 1.0,
        None,
    ),
    "`vocos`, log10": (_vocos(log="log10"), "vocos:log10"),
    "`vocos`, decibels": (_vocos(log="db20"), "vocos:db20"),
    "`vocos`, decibels mapped to 0..1": (_vocos(log="db20", ref_db=20.0, range_db=100.0), "vocos:unit"),
    "`vocos`, powers for magnitudes": (_vocos(power=2.0), None),
    "`vocos`, normalised by itself": (lambda x: _standardised(_vocos()(x)), None),
    "`vocos`, no logarithm": (lambda x: _vocos()(x).exp(), None),
    "`vocos`, highest band first": (lambda x: _vocos()(x).flip(0), None),
    "`vocos`, hop of 128": (_vocos(hop_length=128), None),
    "`vocos`, hop of 512": (_vocos(hop_length=512), None),
    "`vocos`, bands of 44.1 kHz": (_vocos(sample_rate=44100, f_max=22050.0), None),
    "`vocos`, 100 frames": (lambda x: _middle(_vocos()(x)), "vocos:ln"),
    "`vocos`, 100 frames, transposed": (lambda x: _middle(_vocos()(x)).T, None),
    "white noise": (lambda x: _vocos()(0.1 * torch.randn(len(x), generator=torch.Generator().manual_seed(0))), None),
}
"""mels of 100 bands, each with the LAYOUT:ENCODING that a mel config can express, if any"""


def _standardised(mel: Tensor) -> Tensor:
    return (mel - mel.mean(dim=1, keepdim=True)) / (mel.std(dim=1, keepdim=True) + 1e-3)


def _middle(mel: Tensor) -> Tensor:
    """Return as many frames as there are bands, padded with silence if there are fewer."""
    bands, frames = mel.shape
    start = max(0, (frames - bands) // 2)
    return F.pad(mel[:, start : start + bands], (0, max(0, bands - frames)), value=float(mel.min()))


TRUE_VARIANTS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "20 dB quieter": lambda mel: (mel - math.log(10.0)).clamp_min(math.log(1e-5)),
    "6 dB louder": lambda mel: mel + math.log(2.0),
    "as predicted: smoothed along time": smoothed,
    "as predicted: smoothed twice along time": lambda mel: smoothed(mel, 2),
    "as predicted: smoothed along bands": lambda mel: smoothed(mel.T).T,
    "as predicted: smoothed along both": lambda mel: smoothed(smoothed(mel).T).T,
    "as predicted: errors of 0.1": lambda mel: _noisy(mel, 0.1),
    "as predicted: errors of 0.3": lambda mel: _noisy(mel, 0.3),
}
