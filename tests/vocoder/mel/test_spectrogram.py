"""Mels compared with the published arithmetic, written with librosa in float64 and without MelConfig."""

import librosa
import numpy as np
import pytest
import torch

from vocoder.mel.config import PRESETS, preset
from vocoder.mel.spectrogram import MelSpectrogram


def log_mel(x, rate, n_mels, f_max, f_min=0.0, n_fft=1024, hop=256, floor=1e-5, log=np.log, win=None, **bands):
    """Return the logarithm of mel bands of the magnitudes of centred frames."""
    padded = np.pad(x, n_fft // 2, mode="reflect")
    spectrum = librosa.stft(padded, n_fft=n_fft, hop_length=hop, win_length=win, window="hann", center=False)
    shape = {"sr": rate, "n_fft": n_fft, "n_mels": n_mels, "fmin": f_min, "fmax": f_max, "dtype": np.float64}
    return log(np.maximum(floor, librosa.filters.mel(**shape, **bands) @ np.abs(spectrum)))


def hifigan(x, rate, n_mels, f_max, n_fft=1024, hop=256, epsilon=1e-9):
    padded = np.pad(x, (n_fft - hop) // 2, mode="reflect")
    spectrum = librosa.stft(padded, n_fft=n_fft, hop_length=hop, win_length=n_fft, window="hann", center=False)
    mel = librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=n_mels, fmin=0, fmax=f_max, dtype=np.float64)
    return np.log(np.maximum(1e-5, mel @ np.sqrt(np.abs(spectrum) ** 2 + epsilon)))


def gpt_sovits(x, rate, n_fft, hop):
    """Return a mel as GPT-SoVITS predicts it: -12..2 mapped to -1..1."""
    return (hifigan(x, rate, 100, rate / 2, n_fft, hop, 1e-8) + 12) / (2 + 12) * 2 - 1


def vocos(x, floor=1e-7):
    return log_mel(x, 24000, 100, 12000, floor=floor, htk=True, norm=None)


def decimal(x, f_min, rate=22050, **frames):
    return log_mel(x, rate, 80, 7600, f_min, floor=1e-10, log=np.log10, **frames)


LIBROSA = {"sr": 22050, "n_fft": 1024, "hop_length": 256, "n_mels": 80, "fmax": 8000}
REFERENCES = {
    "nvidia": lambda x: log_mel(x, 22050, 80, 8000),
    "hifigan": lambda x: hifigan(x, 22050, 80, 8000),
    "espnet": lambda x: decimal(x, 80),
    "espnet-24k": lambda x: decimal(x, 80, 24000, n_fft=2048, hop=300, win=1200),
    "r9y9": lambda x: decimal(x, 125),
    "vocos": vocos,
    "f5-tts": lambda x: vocos(x, 1e-5),
    "zipvoice": lambda x: 0.1 * vocos(x),
    "bigvgan": lambda x: hifigan(x, 24000, 100, 12000),
    "gpt-sovits-v3": lambda x: gpt_sovits(x, 24000, 1024, 256),
    "gpt-sovits-v4": lambda x: gpt_sovits(x, 32000, 1280, 320),
    "cosyvoice2": lambda x: hifigan(x, 24000, 80, 8000, 1920, 480),
    "cosyvoice3": lambda x: hifigan(x, 24000, 80, 12000, 1920, 480),
    "indextts2": lambda x: hifigan(x, 22050, 80, 11025),
    "fireredtts": lambda x: hifigan(x, 16000, 100, 8000, 1024, 160),
    "nemo": lambda x: log_mel(x, 22050, 80, 11025),
    "tacotron2-tf": lambda x: np.clip(1.6 * log_mel(x, 22050, 80, 7600, 25, log=np.log10) + 2.4, -4, 4),
    "speecht5": lambda x: decimal(x, 80, 16000),
    "librosa-db": lambda x: librosa.power_to_db(librosa.feature.melspectrogram(y=x, **LIBROSA), top_db=None),
}


def speech_like(sample_rate):
    """Return a second of gliding harmonics and noise between digital silences, exact in float32."""
    rng = np.random.default_rng(7)
    time = np.arange(sample_rate) / sample_rate
    phase = 2 * np.pi * np.cumsum(110 + 60 * np.sin(3 * time)) / sample_rate
    voice = sum(np.sin(k * phase) / k for k in range(1, 50)) + 0.05 * rng.standard_normal(sample_rate)
    x = np.concatenate([np.zeros(3000), 0.2 * voice * np.sin(np.pi * time), np.zeros(3000)])
    return x.astype(np.float32).astype(np.float64)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_matches_its_published_arithmetic(name):
    x = speech_like(preset(name).sample_rate)
    mel = MelSpectrogram(preset(name))(torch.from_numpy(x).float()[None])[0].double().numpy()
    expected = REFERENCES[name](x)
    assert mel.shape == expected.shape == (preset(name).n_mels, preset(name).frames(x.size))
    assert np.ptp(expected) > 0.5  # neither all floor nor all ceiling
    np.testing.assert_allclose(mel, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", PRESETS)
def test_frames_of_a_padded_crop_equal_those_of_the_clip(name):
    config = preset(name)
    extract = MelSpectrogram(config)
    x = torch.from_numpy(speech_like(config.sample_rate))[None].float()
    padded = extract.pad(x)
    torch.testing.assert_close(extract.frame(padded), extract(x), rtol=0, atol=0)
    first, count = 20, 30
    crop = padded[:, first * config.hop_length : (first + count - 1) * config.hop_length + config.n_fft]
    torch.testing.assert_close(extract.frame(crop), extract(x)[:, :, first : first + count], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(4000), r"shape \(B, T\), not torch.float32 of shape \(4000,\)"),
        (torch.zeros(1, 4000, dtype=torch.int16), "floating point .* not torch.int16"),
        (np.zeros(4000, np.float32), r"a tensor \(B, T\), not ndarray: use torch.from_numpy\(x\)\[None\]"),
        (torch.zeros(1, 512), "512 samples is too short .* it needs at least 513"),
    ],
)
def test_invalid_audio_is_rejected(x, message):
    with pytest.raises((ValueError, TypeError), match=message):
        MelSpectrogram(preset("nvidia"))(x)
