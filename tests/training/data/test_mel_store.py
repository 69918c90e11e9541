"""A mel that came with a recording is cut with it, frame for frame, and nothing that would part them is done."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from given_mels import write_given
from torch.utils.data import default_collate

from training.corpora.manifest import Manifest, ManifestError
from training.data.augment import AugmentConfig
from training.data.datasets import SegmentConfig, SegmentDataset, held_out_segments
from training.data.stores import conditioned
from vocoder.mel.config import MelConfig, preset
from vocoder.mel.spectrogram import MelSpectrogram

RATE, SEGMENT, HOP, N_FFT = 8000, 1024, 64, 256
MEL = MelConfig("small", RATE, n_fft=N_FFT, win_length=N_FFT, hop_length=HOP, n_mels=20, f_min=0.0, f_max=4000.0)
PLAIN = SegmentConfig(segment_length=SEGMENT, hop_length=HOP, margin=N_FFT // 2, epoch_length=40)
VARIED = replace(
    PLAIN, gain_db=(-10.0, 6.0), rates=(0.85, 1.175), augment=AugmentConfig(equaliser_db=6, noise=1, reverberation=1)
)


def test_audio_and_mel_are_cut_alike_and_never_varied(tmp_path):
    manifest = write_given(tmp_path, MEL, [("train", 2000, True)])
    x = torch.from_numpy(soundfile.read(tmp_path / "0.flac", dtype="float32")[0])
    windows = x.unfold(0, SEGMENT, HOP)
    starts = set()
    for item in SegmentDataset(manifest, "train", replace(VARIED, epoch_length=200), mel_config=MEL):
        distances = (windows - item["x"][128:-128]).abs().amax(dim=1)
        start = int(distances.argmin())
        assert float(distances.min()) == 0
        expected = -8 + (start + torch.arange(SEGMENT // HOP)) / 100
        torch.testing.assert_close(item["mel"], expected.float().expand(20, -1))
        assert item["has_mel"]
        starts.add(start)
    assert starts == set(range((2000 - SEGMENT) // HOP + 1))


def test_the_true_mel_given_is_the_mel_that_training_would_compute(tmp_path):
    manifest = write_given(tmp_path, MEL, [("train", 5000, True), ("test", 3000, True)])
    extract = MelSpectrogram(MEL)
    for number in (0, 1):
        x = torch.from_numpy(soundfile.read(tmp_path / f"{number}.flac", dtype="float32")[0])
        np.save(tmp_path / f"{number}.npy", extract(x[None])[0].numpy())
    training = SegmentDataset(manifest, "train", PLAIN, mel_config=MEL)
    for dataset in (training, held_out_segments(manifest, PLAIN, 20, MEL)):
        batch = default_collate(list(dataset))
        own = extract.frame(batch["x"])[:, :, : SEGMENT // HOP]
        torch.testing.assert_close(conditioned(torch.zeros_like(own), batch), own, rtol=0, atol=2e-4)


def test_recordings_without_a_mel_are_varied_as_before_and_keep_their_own(tmp_path):
    manifest = write_given(tmp_path, MEL, [("train", 3000, True), ("train", 3000, False)])
    plain = SegmentDataset(manifest, "train", VARIED)
    mixed = SegmentDataset(manifest, "train", VARIED, mel_config=MEL)
    kinds = set()
    for before, now in zip(plain, mixed, strict=True):
        assert "mel" not in before
        kinds.add(now["has_mel"])
        assert torch.equal(before["x"], now["x"]) is not now["has_mel"]
    assert kinds == {True, False}
    batch, own = default_collate(list(mixed)), torch.randn(40, 20, SEGMENT // HOP)
    heard, has = conditioned(own, batch), batch["has_mel"]
    assert torch.equal(heard[has], batch["mel"][has])
    assert torch.equal(heard[~has], own[~has])
    assert conditioned(own, default_collate(list(plain))) is own


def test_frames_that_stand_later_are_cut_with_audio_that_starts_later(tmp_path):
    ours = preset("nvidia")
    manifest = write_given(tmp_path, ours, [("train", 20000, True)])
    x = torch.from_numpy(soundfile.read(tmp_path / "0.flac", dtype="float32")[0])
    np.save(tmp_path / "0.npy", MelSpectrogram(preset("hifigan"))(x[None])[0].numpy())
    settings, entries = SegmentConfig(segment_length=4096, epoch_length=30), manifest.entries
    manifest = Manifest(tmp_path, tuple(replace(entry, mel_preset="hifigan") for entry in entries))
    for item in SegmentDataset(manifest, "train", settings, mel_config=ours):
        own = MelSpectrogram(ours).frame(item["x"][None])[0, :, :16]
        inside = slice(2, -2)  # reflections at the ends are other ones
        torch.testing.assert_close(item["mel"][:, inside], own[:, inside], rtol=0, atol=1e-3)


def test_a_mel_that_does_not_fit_is_named_with_what_would(tmp_path):
    manifest = write_given(tmp_path, MEL, [("train", 1024, True)])
    for mel, words in (
        (np.zeros((20, 15), np.float32) - 5, r"0\.npy: the mel has 15 frames, but audio of 1024 samples has 16 or 17"),
        (np.zeros((20, 18), np.float32) - 5, "18 frames"),
        (
            np.zeros((16, 20), np.float32) - 5,
            r"\(20, frames\), at least one frame, not \(16, 20\); it looks transposed",
        ),
        (np.full((20, 16), np.nan, np.float32), "not finite"),
        (np.zeros((20, 16), np.float32) - 90, "values go from -90 to -90"),
        (np.zeros((20, 16), np.int32), "a mel holds floats"),
    ):
        np.save(tmp_path / "0.npy", mel)
        with pytest.raises(ManifestError, match=words):
            SegmentDataset(manifest, "train", PLAIN, mel_config=MEL)
