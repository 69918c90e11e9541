import pickle

import pytest
import torch
from evaluation_corpus import write_corpus
from sklearn.datasets import load_digits

from training.corpora.manifest import read_manifest
from training.density.items import TOYS, DataConfig, digits, items_of, points
from vocoder.audio.reading import read_audio
from vocoder.config import ConfigError
from vocoder.mel.config import preset
from vocoder.mel.spectrogram import MelSpectrogram

MEL = preset("nvidia")
PLAIN = DataConfig(noise=0.0, items=40, held_out=30)


@pytest.fixture
def corpus(tmp_path):
    return write_corpus(tmp_path)


def all_of(items, epoch=0):
    return torch.stack([items[epoch, i]["x"] for i in range(len(items))])


def test_digits_are_dequantised_and_splits_are_disjoint():
    splits = [all_of(digits(name)) for name in ("train", "validation", "test")]
    assert [len(split) for split in splits] == [1000, 350, 447]
    noise = 17 * torch.cat(splits).double() - torch.tensor(load_digits().images)
    assert -1e-5 < noise.min() < 0.01 < 0.99 < noise.max() < 1 + 1e-5
    assert abs(float(noise.mean()) - 0.5) < 0.005


@pytest.mark.parametrize("source", ["digits", "moons", "mels"])
def test_items_depend_on_seed_epoch_and_index_only(corpus, source):
    def build(seed, held_out=False):
        data = DataConfig(source=source, items=8, held_out=8, seed=seed)
        return items_of(data, 3, MEL, read_manifest(corpus), held_out)

    one, same, other, held_out = build(1), build(1), build(2), build(1, True)
    first = all_of(one)
    assert torch.equal(first, all_of(same))
    for changed in (other, held_out):
        assert not torch.equal(first[:8], all_of(changed)[:8])
    assert not torch.equal(first, all_of(one, epoch=1))
    assert torch.equal(first, all_of(one))


def test_held_out_windows_are_slices_of_test_utterances_of_trained_speakers(corpus):
    items = items_of(PLAIN, 5, MEL, read_manifest(corpus), True)
    windows = all_of(pickle.loads(pickle.dumps(items)))  # as for the processes of a data loader
    audio = [torch.from_numpy(read_audio(corpus.parent / f"{i}.flac")[0]) for i in (1, 2, 3)]
    mels = [MelSpectrogram(MEL)(x[None])[0] for x in audio]
    pieces = torch.cat([mel.unfold(1, 5, 1).permute(1, 0, 2) for mel in mels])
    assert windows.shape == (30, 80, 5)
    distance = (pieces[None] - windows[:, None]).abs().amax(dim=(2, 3))
    assert float(distance.amin(dim=1).max()) < 1e-3
    assert len(distance.argmin(dim=1).unique()) > 15


def test_invalid_sources_are_rejected(corpus):
    manifest = read_manifest(corpus)
    for data, mel, given, text in (
        (DataConfig(corpora=("festvox-ru",)), MEL, manifest, "no corpus festvox-ru.*synthetic"),
        (DataConfig(), preset("espnet"), manifest, "natural-log.*log10"),
        (DataConfig(), MEL, None, "need a manifest"),
    ):
        with pytest.raises(ConfigError, match=text):
            items_of(data, 3, mel, given, False)


@pytest.mark.parametrize("name", TOYS)
def test_toy_densities_match_their_samples(name):
    toy, axis = TOYS[name], (torch.arange(160).double() + 0.5) / 20 - 4
    assert float(toy.log_prob(torch.cartesian_prod(axis, axis)).exp().sum()) / 20**2 == pytest.approx(1.0, abs=2e-3)
    x = points(toy, 20_000, 1).drawn(0)[:, :, 0].double()
    assert toy.log_prob(x).isfinite().all()
    low, high = x.amin(dim=0), x.amax(dim=0)
    cells = ((x - low) / (high - low) * 12).floor().clamp(0, 11).long()
    counts = torch.bincount(cells[:, 0] * 12 + cells[:, 1], minlength=144) / len(x)
    inner = (torch.arange(12 * 10).double() + 0.5) / (12 * 10)
    places = torch.cartesian_prod(inner, inner) * (high - low) + low
    mass = toy.log_prob(places).exp().reshape(12, 10, 12, 10).mean(dim=(1, 3)) * ((high - low) / 12).prod()
    assert float((counts - mass.flatten()).abs().sum()) < 0.12
