import math
from functools import partial

import numpy as np
import pytest
from evaluation_corpus import RATE, voice

from training.evaluate.metric import MetricUndefinedError, split_by_package
from training.evaluate.metrics import METRICS
from training.evaluate.opinions import pesq_wide_band, short_time_intelligibility
from training.evaluate.pitch import periodicity_rmse, pitch_rmse, pitch_track, voiced_share, voicing_f1
from training.evaluate.spectra import band_is_kept, band_level, multi_resolution_stft_distance

BY_NAME = {metric.name: metric for metric in METRICS}
PERFECT = {"pesq": 4.64, "stoi": 1.0, "stft_distance": 0.0, "band_kept": 100.0}
PERFECT |= {"periodicity_rmse": 0.0, "voicing_f1": 1.0, "voiced_share": 100.0, "pitch_rmse_cents": 0.0}
BLIND = ("distillmos", "dnsmos")  # metrics that ignore the reference


def tone(f0, seconds=1.0, level=0.1):
    """Return ten harmonics with amplitudes 1 / n."""
    time = np.arange(int(seconds * RATE)) / RATE
    return np.asarray(level * sum(np.sin(2 * np.pi * n * f0 * time) / n for n in range(1, 11)), dtype=np.float32)


def noise(seconds=1.0, level=0.05, seed=0):
    return (level * np.random.default_rng(seed).standard_normal(int(seconds * RATE))).astype(np.float32)


def breathy(x):
    """Add a little noise: CREPE averages its level over all frequencies, so clean harmonics look silent."""
    return (x + noise(len(x) / RATE, 2e-3, seed=3)[: len(x)]).astype(np.float32)


speech_like = partial(voice, 120.0)


def skip_without(metric):
    if split_by_package([metric])[1]:
        pytest.skip(f"{metric.package} is not installed")


@pytest.mark.parametrize(("name", "value"), PERFECT.items())
def test_a_recording_gets_perfect_scores(name, value):
    skip_without(BY_NAME[name])
    x = noise() if name == "band_kept" else speech_like(2.0)
    assert BY_NAME[name].measure(x, x.copy(), RATE) == pytest.approx(value, abs=5e-3 if name == "pesq" else 1e-6)


@pytest.mark.parametrize("name", ["pesq", "stoi", "stft_distance"])
def test_more_noise_gives_worse_scores(name):
    metric = BY_NAME[name]
    skip_without(metric)
    x = speech_like(2.0)
    # Start at 0.003, because PESQ and STOI ignore inaudible noise.
    values = [metric.measure(x, x + noise(2.0, level, seed=1), RATE) for level in (3e-3, 1e-2, 3e-2)]
    assert values == sorted(values, reverse=metric.better == "higher")
    assert len({round(value, 4) for value in values}) == 3


@pytest.mark.parametrize("name", BLIND)
def test_naturalness_metrics_ignore_the_reference_and_the_level(name):
    skip_without(BY_NAME[name])
    x, measure = speech_like(2.0), BY_NAME[name].measure
    value = measure(x, x, RATE)
    assert 1.0 <= value <= 5.0
    assert (measure(noise(2.0), x, RATE), measure(x, 0.5 * x, RATE)) == (value, pytest.approx(value, abs=1e-3))
    assert measure(x, noise(2.0), RATE) != pytest.approx(value, abs=0.05)


def test_pesq_and_stoi_require_speech():
    skip_without(BY_NAME["stoi"])
    for x in (speech_like(0.2), speech_like(0.01)):
        with pytest.raises(MetricUndefinedError, match=r"0\.4 s"):
            short_time_intelligibility(x, x, RATE)
    skip_without(BY_NAME["pesq"])
    with pytest.raises(MetricUndefinedError, match="no speech"):
        pesq_wide_band(speech_like(1.0), np.zeros(RATE, dtype=np.float32), RATE)
    with pytest.raises(MetricUndefinedError, match="quarter"):
        pesq_wide_band(speech_like(0.1), speech_like(0.1), RATE)


def test_the_stft_distance_of_a_gain_is_exact_and_ignores_the_sign():
    """Doubling gives a spectral convergence of 1 and a log distance of log 2 above the floor."""
    x = noise(1.0, level=0.5)
    assert multi_resolution_stft_distance(x, 2 * x, RATE) == pytest.approx(1.0 + math.log(2.0), rel=1e-3)
    assert multi_resolution_stft_distance(x, -x, RATE) == 0.0
    with pytest.raises(MetricUndefinedError, match="silent"):
        multi_resolution_stft_distance(0 * x, x, RATE)


@pytest.mark.parametrize("f0", [80.0, 220.0, 440.0])
def test_the_pitch_of_a_tone_is_tracked(f0):
    skip_without(BY_NAME["pitch_rmse_cents"])
    track = pitch_track(breathy(tone(f0)), RATE)
    assert track.voiced.mean() > 0.9
    cents = 1200 * np.log2(track.f0[track.voiced] / f0)
    assert np.abs(np.median(cents)) < 12.0  # slightly more than half a step of 20 cents
    assert np.quantile(np.abs(cents), 0.9) < 35.0


def test_scores_of_half_a_voice():
    """Half of the voiced frames are voiced in both: F1 = 2 (1/2) / (1 + 1/2)."""
    skip_without(BY_NAME["voicing_f1"])
    voiced = breathy(tone(150.0, 2.0))
    half = np.concatenate([voiced[:RATE], np.zeros(RATE, np.float32)])
    assert voicing_f1(voiced, half, RATE) == pytest.approx(2 / 3, abs=0.04)
    assert voicing_f1(half, voiced, RATE) == voicing_f1(voiced, half, RATE)
    assert voiced_share(voiced, half, RATE) == pytest.approx(50.0, abs=4.0)
    assert voiced_share(half, voiced, RATE) == pytest.approx(200.0, abs=16.0)
    difference = pitch_track(voiced, RATE).periodicity - pitch_track(half, RATE).periodicity
    assert periodicity_rmse(voiced, half, RATE) == pytest.approx(np.sqrt(np.mean(difference**2)))
    assert 0.4 < periodicity_rmse(voiced, half, RATE) < 0.8


def test_pitch_and_voicing_require_voiced_frames():
    skip_without(BY_NAME["voicing_f1"])
    silence = np.zeros(RATE, np.float32)
    assert not pitch_track(tone(150.0, level=1e-5), RATE).voiced.any()  # too quiet, though periodic
    with pytest.raises(MetricUndefinedError, match="voiced in both"):
        pitch_rmse(breathy(tone(150.0)), silence, RATE)
    with pytest.raises(MetricUndefinedError, match="voiced frame"):
        voicing_f1(silence, silence, RATE)
    with pytest.raises(MetricUndefinedError, match="recording with voiced frames"):
        voiced_share(silence, breathy(tone(150.0)), RATE)


def low_passed(x, edge=7500.0):
    spectrum = np.fft.rfft(x)
    spectrum[np.fft.rfftfreq(len(x), 1 / RATE) > edge] = 0.0
    return np.fft.irfft(spectrum, len(x)).astype(np.float32)


def test_the_band_level_of_white_noise_and_the_tolerance_of_six_decibels():
    x = noise(2.0)
    expected = 10.0 * math.log10((10800.0 - 8200.0) / (RATE / 2.0))
    assert band_level(0 * x, x, RATE) == pytest.approx(expected, abs=0.2)
    assert band_level(x, 0.1 * x, RATE) == pytest.approx(expected, abs=0.2)
    assert band_level(x, low_passed(x), RATE) < -80.0
    with pytest.raises(MetricUndefinedError, match="16000 Hz has no band"):
        band_level(noise(), noise(), 16000)
    with pytest.raises(MetricUndefinedError, match="silent"):
        band_level(noise(), 0 * noise(), RATE)
    low = low_passed(x)
    kept = [band_is_kept(x, low + np.float32(gain) * (x - low), RATE) for gain in (1.6, 0.6, 0.3, 0.0)]
    assert kept == [100, 100, 0, 0]
    with pytest.raises(MetricUndefinedError, match="is empty above 8 kHz"):
        band_is_kept(low, x, RATE)
