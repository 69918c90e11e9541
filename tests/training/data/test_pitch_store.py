import numpy as np
import pytest
from evaluation_corpus import write_recordings
from torch.utils.data import default_collate

from training.data.datasets import SegmentConfig, SegmentDataset
from training.data.stores import SPEEDS, PitchStore, speeds_for

RATE, HOP = 22050, 256
SECONDS = 2.0


def pitch_at(time):
    """Return the recording's pitch in Hz at times in seconds: it rises by an octave in two seconds."""
    return 110.0 * 2.0 ** (np.asarray(time) / SECONDS)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    phase = 2 * np.pi * np.cumsum(pitch_at(np.arange(int(SECONDS * RATE)) / RATE)) / RATE
    x = 0.1 * sum(np.cos(n * phase) / n for n in range(1, 15))
    x[: RATE // 2] = 0.0
    return write_recordings(tmp_path_factory.mktemp("pitch"), (np.zeros(RATE // 4), {}), (x, {}))


def test_frames_have_the_pitch_at_their_speed_and_use_the_nearest_label(manifest):
    store = PitchStore(manifest, manifest.entries, SPEEDS)
    for speed, first in ((0.55, 0.0), (0.7, 12345.6), (0.8, 0.0), (1.0, 12345.6), (1.1, 0.0), (1.4, 0.0)):
        found, time = store.read(1, first, HOP * speed, 100, speed), (first + HOP * speed * np.arange(100)) / RATE
        audible = (time > 0.6) & (time < SECONDS - 0.1)
        assert found.dtype == np.float32
        assert audible.any()
        assert np.abs(1200 * np.log2(found[audible] / (speed * pitch_at(time[audible])))).max() < 20
        assert (found[time < 0.4] == 0).all()
        assert (store.read(0, first, HOP * speed, 100, speed) == 0).all()
    fine = PitchStore(manifest, manifest.entries, (1.0,)).read(1, 0.0, HOP / 8, 8 * 100, 1.0)
    edge = int(np.flatnonzero(fine > 0)[0])
    assert edge % 8 == 4
    assert abs(fine[edge] / fine[edge + 4] - 1) < 1e-5


def test_items_have_pitch_labels_for_their_speeds(manifest):
    settings = SegmentConfig(epoch_length=40, rates=(0.7, 1.2))
    plain = SegmentDataset(manifest, "train", settings)
    dataset = SegmentDataset(manifest, "train", settings, pitch=True)
    assert "f0" not in plain[0, 0]
    batch = default_collate([dataset[0, i] for i in range(40)])
    assert batch["f0"].shape == (40, settings.segment_length // HOP)
    assert (batch["x"] == default_collate([plain[0, i] for i in range(40)])["x"]).all()
    voiced = batch["f0"] > 0
    assert 0.1 < voiced.float().mean() < 0.9
    level = batch["x"][:, 512:-512].reshape(40, -1, HOP).square().mean(dim=2)
    assert (level[voiced] > 0).float().mean() > 0.95
    assert (speeds_for(1.0, 1.0), speeds_for(0.85, 1.375)) == ((1.0,), (0.8, 1.0, 1.25))
    assert (speeds_for(0.95, 1.05), speeds_for(0.55, 1.4)) == ((1.0,), SPEEDS)
