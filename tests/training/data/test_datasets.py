"""Segments have slices of their utterance's mel and depend only on (seed, epoch, index).

A given mel is cut together with its recording, which is then not augmented.
"""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import soundfile
import torch
from evaluation_corpus import write_given, write_recordings
from torch.nn import functional as F
from torch.utils.data import default_collate

from training.corpora.given_mels import given_mel
from training.corpora.manifest import Manifest, ManifestError
from training.data.augment import AugmentConfig
from training.data.datasets import SegmentConfig, SegmentDataset, segments_of
from training.data.rational_resampling import crop, resampled_length
from training.data.stores import AudioStore, MelStore, conditioned
from vocoder.mel.config import MelConfig, preset
from vocoder.mel.spectrogram import MelSpectrogram

RATE = 8000
SEGMENT, HOP, N_FFT = 1024, 64, 256
MEL = MelConfig("small", RATE, n_fft=N_FFT, win_length=N_FFT, hop_length=HOP, n_mels=20, f_min=0.0, f_max=4000.0)


def config(**changes):
    return SegmentConfig(**{"segment_length": SEGMENT, "hop_length": HOP, "margin": N_FFT // 2, **changes})


def first_epoch(dataset):
    return [dataset[0, index] for index in range(len(dataset))]


def make_corpus(root, lengths):
    """Write an utterance of random noise for each (speaker, split, samples)."""
    audio = [0.1 * np.random.default_rng(number).standard_normal(length) for number, (*_, length) in enumerate(lengths)]
    fields = [{"speaker": speaker, "split": split} for speaker, split, _ in lengths]
    return write_recordings(root, *zip(audio, fields, strict=True), rate=RATE)


def whole(manifest, number):
    x, _ = soundfile.read(manifest.root / f"{number}.flac", dtype="float32")
    return torch.from_numpy(x)


def test_stored_audio_is_exact_and_short_utterances_are_padded_with_zeros(tmp_path):
    audio = [np.arange(1, 101, dtype=np.int16) * (number + 1) for number in range(3)]
    manifest = write_recordings(tmp_path, *((x, {}) for x in audio), rate=RATE)
    store = AudioStore(manifest, manifest.entries)
    assert store.lengths.tolist() == [100, 100, 100]
    for start, stop in ((0, 100), (10, 20), (-5, 30), (90, 130), (-7, 111), (200, 220), (-30, -10), (50, 50)):
        found = store.read(1, start, stop)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, np.pad(audio[1], 300)[start + 300 : stop + 300] / 32768)
    manifest = make_corpus(tmp_path, [("s", "train", 300)])
    item = SegmentDataset(manifest, "train", config())[0, 0]
    padded = F.pad(whole(manifest, 0), (0, SEGMENT - 300))
    expected = F.pad(padded[None, None], (N_FFT // 2, N_FFT // 2), mode="reflect")[0, 0]
    torch.testing.assert_close(item["x"], expected, rtol=0, atol=0)


@pytest.mark.parametrize(("centre", "samples"), [("reflect", 1024), ("reflect", 2000), ("same", 1087), ("same", 1500)])
def test_the_mel_of_a_segment_is_a_slice_of_the_utterances_mel(tmp_path, centre, samples):
    manifest = make_corpus(tmp_path, [("s", "train", samples)])
    mel_config = replace(MEL, centre=centre)
    mel = MelSpectrogram(mel_config)
    expected = mel(whole(manifest, 0)[None])[0]
    dataset = SegmentDataset(manifest, "train", config(margin=mel_config.padding, epoch_length=80))
    frames = SEGMENT // HOP + (centre == "reflect")
    starts = set()
    for item in first_epoch(dataset):
        found = mel.frame(item["x"][None])[0]
        assert found.shape[1] == frames
        distances = (expected.unfold(1, frames, 1).transpose(0, 1) - found).abs().amax(dim=(1, 2))
        assert distances.min() < 1e-4
        starts.add(int(distances.argmin()))
    assert starts == set(range((samples - SEGMENT) // HOP + 1))


@pytest.mark.parametrize("rates", [(1.0, 1.0), (0.85, 1.175)])
def test_items_depend_only_on_seed_epoch_and_index(tmp_path, rates):
    manifest = make_corpus(tmp_path, [("a", "train", 3000), ("b", "train", 5000)])
    settings = config(rates=rates, gain_db=(-10.0, 6.0), epoch_length=12)
    first, second, other = (SegmentDataset(manifest, "train", replace(settings, seed=seed)) for seed in (0, 0, 1))
    starts = []
    for epoch in (3, 0):
        forwards = [first[epoch, i]["x"] for i in range(12)]
        backwards = [second[epoch, i]["x"] for i in reversed(range(12))][::-1]
        assert all(torch.equal(a, b) for a, b in zip(forwards, backwards, strict=True))
        assert not any(torch.equal(a, b) for a, b in pairwise(forwards))
        assert not torch.equal(other[epoch, 0]["x"], forwards[0])
        starts.append(forwards[0])
    assert not torch.equal(*starts)


def test_speakers_are_sampled_by_duration_to_the_power_of_balance(tmp_path):
    """Utterances of a speaker are sampled by their duration."""
    manifest = make_corpus(tmp_path, [("a", "train", 2000), ("b", "train", 2000), ("b", "train", 6000)])
    short = whole(manifest, 1).unfold(0, SEGMENT, 1)
    for balance, expected in ((1.0, 0.8), (0.5, 2 / 3), (0.0, 0.5)):
        items = first_epoch(SegmentDataset(manifest, "train", config(balance=balance, epoch_length=400)))
        assert np.mean([item["speaker"] for item in items]) == pytest.approx(expected, abs=4 * np.sqrt(0.25 / 400))
    found = [bool(((short - i["x"][128:-128]).abs().amax(dim=1) == 0).any()) for i in items if i["speaker"] == 1]
    assert np.mean(found) == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / 200))


def test_gains_are_uniform_in_decibels(tmp_path):
    manifest = make_corpus(tmp_path, [("a", "train", 4000)])
    plain = SegmentDataset(manifest, "train", config(epoch_length=600))
    louder = SegmentDataset(manifest, "train", config(epoch_length=600, gain_db=(-10.0, 6.0)))
    decibels = []
    for a, b in zip(first_epoch(plain), first_epoch(louder), strict=True):
        ratio = float(b["x"].norm() / a["x"].norm())
        torch.testing.assert_close(b["x"], a["x"] * ratio, rtol=1e-4, atol=1e-6)
        decibels.append(20 * np.log10(ratio))
    assert -10.001 < min(decibels) < -9.5
    assert 5.5 < max(decibels) < 6.001
    assert np.mean(decibels) == pytest.approx(-2, abs=4 * 16 / np.sqrt(12 * 600))
    clipped = SegmentDataset(manifest, "train", config(gain_db=(40.0, 40.0)))[0, 0]["x"]
    assert float(clipped.abs().max()) == pytest.approx(0.99, abs=1e-6)


@pytest.mark.parametrize(("rate", "samples"), [(0.9, 1500), (1.1, 2500), (1.1, 900)])
def test_a_segment_at_another_rate_is_a_slice_of_the_resampled_utterance(tmp_path, rate, samples):
    manifest = make_corpus(tmp_path, [("s", "train", samples)])
    around = F.pad(whole(manifest, 0), (500, 500)).numpy()
    ratio = Fraction(rate).limit_denominator(40)
    length = resampled_length(samples, ratio)
    resampled = torch.from_numpy(crop(lambda a, b: around[a + 500 : b + 500], ratio, 0, length))
    resampled = F.pad(resampled, (0, max(0, SEGMENT - length)))
    padded = F.pad(resampled[None, None], (N_FFT // 2, N_FFT // 2), mode="reflect")[0, 0]
    windows = padded.unfold(0, SEGMENT + N_FFT, HOP)
    starts = set()
    for item in first_epoch(SegmentDataset(manifest, "train", config(rates=(rate, rate), epoch_length=100))):
        distances = (windows - item["x"]).abs().amax(dim=1)
        assert distances.min() < 1e-6
        starts.add(int(distances.argmin()))
    assert starts == set(range(len(windows)))


def test_splits_of_seen_voices_are_selected_and_an_epoch_covers_the_duration(tmp_path):
    manifest = make_corpus(tmp_path, [("b", "train", 5000), ("a", "test", 2000), ("b", "test", 2000)])
    train, longer = SegmentDataset(manifest, "train", config()), config(epoch_length=20)
    assert [item["speaker"] for item in first_epoch(train)] == [1] * 5
    assert {item["speaker"] for item in first_epoch(SegmentDataset(manifest, "test", longer))} == {1}


def test_audio_and_mels_that_do_not_fit_the_manifest_are_rejected(tmp_path):
    manifest = make_corpus(tmp_path, [("a", "train", 2000)])
    soundfile.write(tmp_path / "0.flac", np.zeros(2000), 16000)
    with pytest.raises(ManifestError, match=r"must be mono at 8000 Hz, found .*16000 Hz"):
        SegmentDataset(manifest, "train", config())
    (tmp_path / "0.flac").write_bytes(b"no audio")
    with pytest.raises(ManifestError, match="cannot read"):
        SegmentDataset(manifest, "train", config())
    manifest, quiet = write_given(tmp_path, MEL, [("train", 1024, True)]), np.full((20, 20), -5.0, np.float32)
    for mel, message in (
        (quiet[:, :15], r"0\.npy: the mel has 15 frames, but audio of 1024 samples has 16 or 17"),
        (quiet[:, :18], "18 frames"),
        (quiet[:16], r"\(20, frames\) with at least one frame, not \(16, 20\); it looks transposed"),
        (np.full((20, 16), np.nan, np.float32), "not finite"),
        (np.zeros((20, 16), np.float32) - 90, "values go from -90 to -90"),
        (np.zeros((20, 16), np.int32), "a mel must hold floats"),
    ):
        np.save(tmp_path / "0.npy", mel)
        with pytest.raises(ManifestError, match=message):
            SegmentDataset(manifest, "train", PLAIN, mel_config=MEL)


PLAIN = config(epoch_length=40)
AUGMENT = AugmentConfig(equaliser_db=6, noise=1, reverberation=1)
AUGMENTED = replace(PLAIN, gain_db=(-10.0, 6.0), rates=(0.85, 1.175), augment=AUGMENT)


def test_given_mels_are_cut_like_their_audio_and_not_augmented(tmp_path):
    manifest = write_given(tmp_path, MEL, [("train", 2000, True)])
    windows = whole(manifest, 0).unfold(0, SEGMENT, HOP)
    starts = set()
    for item in first_epoch(SegmentDataset(manifest, "train", replace(AUGMENTED, epoch_length=200), mel_config=MEL)):
        distances = (windows - item["x"][128:-128]).abs().amax(dim=1)
        start = int(distances.argmin())
        assert float(distances.min()) == 0
        expected = -8 + (start + torch.arange(SEGMENT // HOP)) / 100
        torch.testing.assert_close(item["mel"], expected.float().expand(20, -1))
        assert item["has_mel"]
        starts.add(start)
    assert starts == set(range((2000 - SEGMENT) // HOP + 1))


def test_a_given_true_mel_equals_the_mel_that_training_computes(tmp_path):
    manifest = write_given(tmp_path, MEL, [("train", 5000, True), ("test", 3000, True)])
    extract = MelSpectrogram(MEL)
    for number in (0, 1):
        np.save(tmp_path / f"{number}.npy", extract(whole(manifest, number)[None])[0].numpy())
    training = SegmentDataset(manifest, "train", PLAIN, mel_config=MEL)
    for dataset in (training, segments_of(manifest, PLAIN, 20, MEL)):
        batch = default_collate(first_epoch(dataset))
        own = extract.frame(batch["x"])[:, :, : SEGMENT // HOP]
        torch.testing.assert_close(conditioned(torch.zeros_like(own), batch), own, rtol=0, atol=2e-4)


def test_given_mels_are_used_unchanged(tmp_path):
    config, samples = preset("nvidia"), 30_000
    manifest = write_given(tmp_path, config, [("train", samples, True)])
    smooth = np.repeat(np.sin(np.arange(80) / 5)[:, None] - 4, config.frames(samples), axis=1).astype(np.float32)
    np.save(tmp_path / "0.npy", smooth)
    entry = manifest.entries[0]
    np.testing.assert_array_equal(given_mel(manifest, entry, config, samples)[0], smooth)
    np.testing.assert_array_equal(MelStore(manifest, [entry], [samples], config).read(0, 0, smooth.shape[1]), smooth)


def test_recordings_without_a_given_mel_are_augmented_as_usual(tmp_path):
    manifest = write_given(tmp_path, MEL, [("train", 3000, True), ("train", 3000, False)])
    plain = SegmentDataset(manifest, "train", AUGMENTED)
    mixed = SegmentDataset(manifest, "train", AUGMENTED, mel_config=MEL)
    kinds = set()
    for before, now in zip(first_epoch(plain), first_epoch(mixed), strict=True):
        assert "mel" not in before
        kinds.add(now["has_mel"])
        assert torch.equal(before["x"], now["x"]) is not now["has_mel"]
    assert kinds == {True, False}
    batch, own = default_collate(first_epoch(mixed)), torch.randn(40, 20, SEGMENT // HOP)
    used, has = conditioned(own, batch), batch["has_mel"]
    assert torch.equal(used[has], batch["mel"][has])
    assert torch.equal(used[~has], own[~has])
    assert conditioned(own, default_collate(first_epoch(plain))) is own


def test_delayed_frames_are_cut_with_delayed_audio(tmp_path):
    ours = preset("nvidia")
    manifest = write_given(tmp_path, ours, [("train", 20000, True)])
    np.save(tmp_path / "0.npy", MelSpectrogram(preset("hifigan"))(whole(manifest, 0)[None])[0].numpy())
    settings, entries = SegmentConfig(segment_length=4096, epoch_length=30), manifest.entries
    manifest = Manifest(tmp_path, tuple(replace(entry, mel_preset="hifigan") for entry in entries))
    for item in first_epoch(SegmentDataset(manifest, "train", settings, mel_config=ours)):
        own = MelSpectrogram(ours).frame(item["x"][None])[0, :, :16]
        inside = slice(2, -2)  # reflections at the ends differ
        torch.testing.assert_close(item["mel"][:, inside], own[:, inside], rtol=0, atol=1e-3)
