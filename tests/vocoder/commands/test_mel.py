import numpy as np
import pytest
import soundfile
import torch

from vocoder.audio.file import write_audio
from vocoder.audio.resampling import resample
from vocoder.cli import main
from vocoder.loading import load
from vocoder.mel.config import preset
from vocoder.mel.spectrogram import MelSpectrogram


@pytest.mark.parametrize("name", ["nvidia", "vocos"])
def test_the_file_holds_the_mel_of_the_resampled_audio(tmp_path, name, capsys):
    config, x = preset(name), 0.1 * np.random.default_rng(3).standard_normal(16000).astype(np.float32)
    write_audio(tmp_path / "in.wav", x, 16000, format="wav_f32")
    assert main(["mel", str(tmp_path / "in.wav"), "-o", str(tmp_path / "mel.data"), "--preset", name]) == 0
    saved = np.load(tmp_path / "mel.data", allow_pickle=False)
    expected = MelSpectrogram(config)(torch.from_numpy(resample(x, 16000, config.sample_rate))[None])[0]
    assert saved.dtype == np.float32
    np.testing.assert_allclose(saved, expected.numpy(), rtol=0, atol=1e-5)
    assert f"{config.n_mels} mels x {saved.shape[1]} frames (1.00 s), preset {name}" in capsys.readouterr().out


def test_the_audio_is_that_of_the_recordings_mel(model, tmp_path, capsys):
    recording = 0.1 * np.random.default_rng(1).standard_normal(8000).astype(np.float32)
    write_audio(tmp_path / "in.wav", recording, 16000, format="wav_f32")
    arguments = ["resynthesize", str(tmp_path / "in.wav"), "-o", str(tmp_path / "out.wav"), "--model", str(model)]
    assert main([*arguments, "--seed", "4", "--denoise", "0.1"]) == 0
    x = resample(recording, 16000, 22050)
    mel = MelSpectrogram(preset("nvidia"))(torch.from_numpy(x)[None])[0].numpy()
    expected = load(model, guard="off").synthesize(mel, seed=4, denoise=0.1)[: len(x)]
    x_hat, sample_rate = soundfile.read(tmp_path / "out.wav", dtype="float32")
    assert sample_rate == 22050
    assert x_hat.shape == x.shape
    np.testing.assert_allclose(x_hat, expected, rtol=0, atol=1 / 32768)
    assert "resampled from 16000 Hz to the model's 22050 Hz" in capsys.readouterr().out
