import errno
import io
import os
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import soundfile
import torch

from vocoder.audio.resampling import resample
from vocoder.audio.writing import write_audio
from vocoder.cli import main
from vocoder.commands.files import pairs
from vocoder.files import files_in
from vocoder.loading import load
from vocoder.mel.config import preset
from vocoder.mel.spectrogram import MelSpectrogram


@pytest.fixture
def recordings(tmp_path):
    paths = [tmp_path / f"{name}.wav" for name in ("one", "two")]
    for seed, path in enumerate(paths):
        x = 0.1 * np.random.default_rng(seed).standard_normal(4096).astype(np.float32)
        soundfile.write(path, x, 22050, subtype="FLOAT")
    return paths


def run(*arguments):
    return main([str(argument) for argument in arguments])


def test_standard_input_and_output_can_replace_files(recordings, model, monkeypatch, capsys):
    options = ("--model", str(model), "--seed", "1", "--guard", "off")

    def run_piped(content, *arguments):
        out = io.TextIOWrapper(io.BytesIO())
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
            patch.setattr(sys, "stdout", out)
            assert run(*arguments) == (arguments[0] == "check")  # noise is not typical
        out.flush()
        return out.buffer.getvalue()

    mel = run_piped(recordings[0].read_bytes(), "mel", "-", "-o", "-")
    assert np.load(io.BytesIO(mel)).shape == (80, 17)
    x, sample_rate = soundfile.read(io.BytesIO(run_piped(mel, "synthesize", "-", "-o", "-", *options)))
    assert (x.shape, sample_rate) == ((17 * 256,), 22050)
    assert run_piped(mel, "synthesize", "-", "-o", "-", "--format", "flac", *options).startswith(b"fLaC")
    assert run_piped(mel, "check", "-").startswith(b"-: ")
    again = run_piped(recordings[0].read_bytes(), "resynthesize", "-", "-o", "-", *options[:4])
    np.testing.assert_allclose(soundfile.read(io.BytesIO(again))[0], x[:4096], rtol=0, atol=1e-3)
    assert capsys.readouterr().err.count("-: ") == 4  # messages go to standard error


def test_a_named_file_is_replaced_and_files_in_a_folder_are_kept(recordings, tmp_path, monkeypatch, capsys, cli_error):
    assert run("mel", recordings[0], "-o", tmp_path / "a.npy") == run("mel", recordings[0], "-o", tmp_path / "a.npy")
    first, second = capsys.readouterr().out.splitlines()
    assert (first.endswith("(replaced)"), second.endswith("(replaced)")) == (False, True)
    assert run("mel", *recordings, "-o", tmp_path / "mels") == 0
    (tmp_path / "mels" / "two.npy").unlink()
    with monkeypatch.context() as failing:
        failing.setattr(Path, "write_bytes", lambda path, content: os.write(os.open(path, os.O_CREAT), content))
        assert run("mel", *recordings, "-o", tmp_path / "mels") == 2
    capsys.readouterr()
    assert run("mel", *recordings, absent := tmp_path / "absent.wav", "audio", "-o", tmp_path / "mels") == 2
    out, err = capsys.readouterr()
    assert err == f"vocoder mel: there is no audio file {absent}\nvocoder mel: audio: there is no audio file audio\n"
    kept, made = out.splitlines()
    assert kept == f"{tmp_path / 'mels'}: kept 1 existing files; --again replaces them"
    assert made.startswith(f"{tmp_path / 'mels' / 'two.npy'}: ")
    assert run("mel", *recordings, "-o", tmp_path / "mels", "--again") == 0
    assert capsys.readouterr().out.count(f"{tmp_path / 'mels'}{os.sep}") == 2
    content = recordings[1].read_bytes()
    recordings[1].write_bytes(content[:20])
    assert run("mel", *recordings, "-o", tmp_path / "mels", "--again") == 2
    recordings[1].write_bytes(content)
    assert (tmp_path / "mels" / "two.npy").exists()  # its recording could not be read
    error = "holds files made with preset 'nvidia', not 'vocos'; another mel config; give another folder, or --again"
    assert error in cli_error(main, "mel", *recordings, "-o", tmp_path / "mels", "--preset", "vocos")
    os.utime(recordings[0], (2e9, 2e9))  # a newer recording gets a new mel
    assert run("mel", *recordings, "-o", tmp_path / "mels") == 0
    assert f"{tmp_path / 'mels' / 'one.npy'}: " in capsys.readouterr().out
    with monkeypatch.context() as failing:
        failing.setattr(Path, "write_bytes", Mock(side_effect=OSError(errno.EFBIG, "File too large")))
        assert "File too large" in cli_error(main, "mel", recordings[1], "-o", tmp_path / "a.npy")
    assert np.load(tmp_path / "a.npy").shape[0] == 80  # a file that cannot be written leaves the one before


def test_folders_of_recordings_keep_their_structure(recordings, model, tmp_path, capsys, cli_error):
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    recordings[0].rename(folder / "one.wav")
    recordings[1].rename(folder / "deep" / "two.WAV")
    (folder / "notes.txt").write_text("no audio")
    assert run("mel", folder, "-o", tmp_path / "mels") == 0
    assert f"{folder}: other files, which are not read: 1 with .txt\n" in capsys.readouterr().out
    for _ in range(2):  # the output folder is no source
        assert run("resynthesize", folder, "-o", folder / "out", "--model", model, "--seed", "1") == 0
    for output, suffix in ((tmp_path / "mels", ".npy"), (folder / "out", ".wav")):
        files = sorted(path for path, _ in files_in(output, {suffix}))
        assert files == [output / "deep" / f"two{suffix}", output / f"one{suffix}"]
    assert run("mel", folder / "deep" / "two.WAV", "-o", tmp_path / "alone.npy") == 0
    assert (tmp_path / "alone.npy").read_bytes() == (tmp_path / "mels" / "deep" / "two.npy").read_bytes()
    (tmp_path / "empty").mkdir()
    assert "empty holds no audio; known " in cli_error(main, "mel", tmp_path / "empty", "-o", tmp_path / "none")


def test_contradictory_paths_are_rejected(tmp_path):
    for folder in ("a", "b", "out"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.wav").write_bytes(b"audio")
    one, two = tmp_path / "a" / "x.wav", tmp_path / "b" / "x.wav"
    standard = Path("-")
    invalid = [
        ([one, two], tmp_path / "out", "several files would be written to .*x.wav"),
        ([one, two], standard, "cannot go to standard output"),
        ([standard, one], tmp_path / "out", "- stands for one file"),
        ([standard], tmp_path / "out", "- stands for one file"),
        ([one], one, "would overwrite its own input"),
        ([one], tmp_path / "a", "would overwrite its own input"),
        ([one, two], one, "is a file"),
        ([one, two], tmp_path / "out.wav", "out.wav is the name of a file"),
    ]
    for sources, output, message in invalid:
        with pytest.raises(ValueError, match=message):
            pairs(sources, output, ".wav", again=True)


@pytest.mark.parametrize("name", ["nvidia", "vocos"])
def test_mel_writes_the_mel_of_the_resampled_audio(tmp_path, name, capsys):
    config, x = preset(name), 0.1 * np.random.default_rng(3).standard_normal(16000).astype(np.float32)
    write_audio(tmp_path / "in.wav", x, 16000, format="wav_f32")
    assert main(["mel", str(tmp_path / "in.wav"), "-o", str(tmp_path / "made.npy"), "--preset", name]) == 0
    saved = np.load(tmp_path / "made.npy", allow_pickle=False)
    expected = MelSpectrogram(config)(torch.from_numpy(resample(x, 16000, config.sample_rate))[None])[0]
    assert saved.dtype == np.float32
    np.testing.assert_allclose(saved, expected.numpy(), rtol=0, atol=1e-5)
    assert f"{config.n_mels} bands x {saved.shape[1]} frames (1.00 s), preset {name}" in capsys.readouterr().out
    assert main(["mel", str(tmp_path / "in.wav"), "-o", str(tmp_path / "mel.wav")]) == 2


def test_resynthesize_writes_the_audio_of_the_recordings_mel(model, tmp_path, capsys):
    recording = 0.1 * np.random.default_rng(1).standard_normal(8000).astype(np.float32)
    write_audio(tmp_path / "in.wav", recording, 16000, format="wav_f32")
    arguments = ["resynthesize", str(tmp_path / "in.wav"), "-o", str(tmp_path / "out.wav"), "--model", str(model)]
    assert main([*arguments, "--seed", "4", "--denoise", "0.1"]) == 0
    x = resample(recording, 16000, 22050)
    mel = MelSpectrogram(preset("nvidia"))(torch.from_numpy(x)[None])[0].numpy()
    expected = load(model, guard="off").synthesize(mel, seed=4, denoise=0.1)[: len(x)]
    x_hat, sample_rate = soundfile.read(tmp_path / "out.wav", dtype="float32")
    assert (sample_rate, x_hat.shape) == (22050, x.shape)
    np.testing.assert_allclose(x_hat, expected, rtol=0, atol=1 / 32768)
    assert "resampled from 16000 Hz to the model's 22050 Hz" in capsys.readouterr().out
