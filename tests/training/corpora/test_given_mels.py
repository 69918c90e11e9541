import json

import numpy as np
import soundfile
import torch

from training.cli import main
from training.corpora.manifest import read_manifest
from vocoder.mel.config import preset
from vocoder.mel.spectrogram import MelSpectrogram

RATE = 22050


def write(folder, name, seconds=0.6, seed=0):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    x = 0.02 * np.random.default_rng(seed).standard_normal(int(seconds * RATE)).astype(np.float32)
    soundfile.write(path, x, RATE, subtype="PCM_16")
    return soundfile.read(path, dtype="float32")[0]


def save(folder, name, mel):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, mel)


def run(tmp_path, *more):
    words = ["prepare", str(tmp_path / "in"), "--layout", "folder", "--licence", "CC0-1.0", "-o", str(tmp_path / "out")]
    return main([*words, "--jobs", "1", "--mels", str(tmp_path / "mels"), *more])


def test_recordings_keep_their_level_and_their_mels(tmp_path, capsys):
    extract = MelSpectrogram(preset("nvidia"))
    for number in range(4):
        x = write(tmp_path / "in", f"anna/{number}.wav", seed=number)
        mel = extract(torch.from_numpy(x)[None])[0].numpy()
        # As HiFi-GAN has it: a batch of one, without the frame at the very end.
        save(tmp_path / "mels", f"anna/{number}.npy" if number else "0.npy", mel[None, :, : len(x) // 256])
    write(tmp_path / "in", "anna/4.wav")
    x = write(tmp_path / "in", "anna/5.wav")
    save(tmp_path / "mels", "5.npy", np.zeros((80, len(x) // 256 - 2), np.float32) - 5)
    assert run(tmp_path) == 0
    printed = capsys.readouterr().out
    assert "in: without a mel" in printed
    assert "in: unfitting mel" in printed
    assert "49 frames, but audio of 13230 samples has 51 or 52" in printed
    manifest = read_manifest(tmp_path / "out")
    assert [entry.mel for entry in manifest.entries] == [f"mels/in/anna/{number}.npy" for number in range(4)]
    assert {entry.mel_preset for entry in manifest.entries} == {"nvidia"}
    for number, entry in enumerate(manifest.entries):
        x, _ = soundfile.read(manifest.audio_path(entry), dtype="float32")
        assert np.array_equal(x, soundfile.read(tmp_path / f"in/anna/{number}.wav", dtype="float32")[0])
        own = extract(torch.from_numpy(x)[None])[0].numpy()
        np.testing.assert_array_equal(np.load(manifest.root / str(entry.mel)), own[:, : len(x) // 256])
    assert json.loads((tmp_path / "out/dataset.json").read_text())["corpora"]["in"]["mel_preset"] == "nvidia"


def test_a_folder_with_mels_of_other_recordings_is_refused(tmp_path, capsys):
    write(tmp_path / "in", "a.wav")
    save(tmp_path / "mels", "b.npy", np.zeros((80, 51), np.float32))
    assert run(tmp_path) == 2
    assert "holds no mel of in: each is named like its recording, such as a.npy" in capsys.readouterr().err
    assert main(["prepare", "festvox-ru", "--mels", "x", "-o", str(tmp_path / "out")]) == 2
    assert "festvox-ru is not a folder" in capsys.readouterr().err
