"""Every metric on signals whose score is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from training.evaluate import cepstrum, pitch
from training.evaluate.band import band_is_kept, band_level
from training.evaluate.cepstrum import mel_cepstral_distortion
from training.evaluate.metric import Metric, MetricUndefinedError, split_by_package
from training.evaluate.metrics import METRICS
from training.evaluate.opinions import overall_quality, pesq_wide_band, short_time_intelligibility
from training.evaluate.pitch import periodicity_rmse, pitch_rmse, pitch_track, voiced_share, voicing_f1
from training.evaluate.stft_distance import multi_resolution_stft_distance
from vocoder.audio.resampling import resample

RATE = 22050
BY_NAME = {metric.name: metric for metric in METRICS}
PERFECT = {"pesq": 4.64, "stoi": 1.0, "mcd_db": 0.0, "stft_distance": 0.0, "band_kept": 100.0}
PERFECT |= {"periodicity_rmse": 0.0, "voicing_f1": 1.0, "voiced_share": 100.0, "pitch_rmse_cents": 0.0}
BLIND = ("distillmos", "dnsmos")
"""These judge without the reference."""

Audio = NDArray[np.float32]


def tone(f0: float, seconds: float = 1.0, level: float = 0.1) -> Audio:
    """Ten harmonics, falling by 1 / n."""
    time = np.arange(int(seconds * RATE)) / RATE
    return np.asarray(level * sum(np.sin(2 * np.pi * n * f0 * time) / n for n in range(1, 11)), dtype=np.float32)


def noise(seconds: float = 1.0, level: float = 0.05, seed: int = 0) -> Audio:
    return (level * np.random.default_rng(seed).standard_normal(int(seconds * RATE))).astype(np.float32)


def breathy(x: Audio) -> Audio:
    """Add a little noise: CREPE's level is a mean over all frequencies, and nothing between harmonics is silence."""
    return (x + noise(len(x) / RATE, 2e-3, seed=3)[: len(x)]).astype(np.float32)


def speech_like(seconds: float = 2.0) -> Audio:
    """A voice of 120 Hz in syllables of a quarter of a second, with a little noise."""
    time = np.arange(int(seconds * RATE)) / RATE
    return (tone(120.0, seconds) * (0.05 + np.sin(4 * np.pi * time) ** 2) + noise(seconds, 1e-3)).astype(np.float32)


def skip_without(metric: Metric) -> None:
    if split_by_package([metric])[1]:
        pytest.skip(f"{metric.package} is not installed")


@pytest.mark.parametrize(("name", "value"), PERFECT.items())
def test_a_recording_is_perfect(name: str, value: float) -> None:
    skip_without(BY_NAME[name])
    x = noise() if name == "band_kept" else speech_like()
    assert BY_NAME[name].measure(x, x.copy(), RATE) == pytest.approx(value, abs=5e-3 if name == "pesq" else 1e-6)


@pytest.mark.parametrize("name", ["pesq", "stoi", "mcd_db", "stft_distance"])
def test_more_noise_is_worse(name: str) -> None:
    metric = BY_NAME[name]
    skip_without(metric)
    x = speech_like()
    # From 0.003 on, because PESQ and STOI are flat where nobody hears the noise.
    values = [metric.measure(x, x + noise(2.0, level, seed=1), RATE) for level in (3e-3, 1e-2, 3e-2)]
    assert values == sorted(values, reverse=metric.better == "higher")
    assert len({round(value, 4) for value in values}) == 3


def test_names_are_unique_and_every_metric_is_known_when_perfect() -> None:
    assert len(BY_NAME) == len(METRICS)
    assert set(BY_NAME) == set(PERFECT) | {*BLIND, "band_db"}


@pytest.mark.parametrize("name", BLIND)
def test_judges_of_naturalness_ignore_the_reference_and_the_level(name: str) -> None:
    skip_without(BY_NAME[name])
    x, measure = speech_like(), BY_NAME[name].measure
    value = measure(x, x, RATE)
    assert 1.0 <= value <= 5.0
    assert measure(noise(2.0), x, RATE) == value
    assert measure(x, 0.5 * x, RATE) == pytest.approx(value, abs=1e-3)
    assert measure(x, noise(2.0), RATE) != pytest.approx(value, abs=0.05)


def test_dnsmos_repeats_what_is_short_and_refuses_silence() -> None:
    skip_without(BY_NAME["dnsmos"])
    x = noise(1.0)
    assert overall_quality(x, np.tile(x, 3), RATE) == pytest.approx(overall_quality(x, x, RATE), abs=0.05)
    with pytest.raises(MetricUndefinedError, match="silence"):
        overall_quality(x, 0 * x, RATE)


@pytest.mark.parametrize("name", sorted({*BY_NAME} - {"stft_distance", "band_db", "band_kept"}))
def test_every_change_of_rate_is_the_projects_own(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One resampler for all: another one moves DistillMOS by half a point. Those left out work at the audio's rate."""
    skip_without(BY_NAME[name])
    rates = []

    def noted(x: Audio, source_rate: int, target_rate: int) -> Audio:
        rates.append((source_rate, target_rate))
        return resample(x, source_rate, target_rate)

    for module in ("cepstrum", "opinions", "pitch"):
        monkeypatch.setattr(f"training.evaluate.{module}.resample", noted)
    x = breathy(speech_like())
    pitch._memoised_track.cache_clear()
    BY_NAME[name].measure(x, x, RATE)
    assert rates
    assert {rate for rate, _ in rates} == {RATE}
    assert {rate for _, rate in rates} <= {10000, 16000}


def test_pesq_says_where_there_is_no_speech() -> None:
    skip_without(BY_NAME["pesq"])
    silence = np.zeros(RATE, dtype=np.float32)
    with pytest.raises(MetricUndefinedError, match="no speech"):
        pesq_wide_band(silence, silence, RATE)
    with pytest.raises(MetricUndefinedError, match="quarter"):
        pesq_wide_band(speech_like(0.1), speech_like(0.1), RATE)


def test_stoi_needs_some_speech() -> None:
    skip_without(BY_NAME["stoi"])
    with pytest.raises(MetricUndefinedError, match=r"0\.4 s"):
        short_time_intelligibility(speech_like(0.2), speech_like(0.2), RATE)


def test_scaled_cepstra_have_a_proportional_distortion() -> None:
    """One band-limited noise through two filters: white, and |H|^2 doubled in dB."""
    x = noise(1.0, level=0.1)
    filters = [np.array([1.0]), np.array([1.0, 0.5]), np.convolve([1.0, 0.5], [1.0, 0.5])]
    plain, once, twice = (np.convolve(x, h)[: len(x)].astype(np.float32) for h in filters)
    single = mel_cepstral_distortion(plain, once, RATE)
    assert single > 1.0
    assert mel_cepstral_distortion(plain, twice, RATE) == pytest.approx(2.0 * single, rel=0.03)


def test_loudness_is_no_distortion() -> None:
    x = noise(1.0, level=0.1)
    assert mel_cepstral_distortion(x, 0.5 * x, RATE) == pytest.approx(0.0, abs=1e-4)


def test_the_distortion_is_that_of_the_cosines_of_the_log_mel_where_there_is_speech() -> None:
    """c_k = 2 / bands sum log_mel cos(pi k (m + 1/2) / bands), computed here by its formula."""
    x = np.concatenate([noise(1.0, 0.1), noise(0.5, 1e-5)])
    x_hat = np.convolve(x, [1.0, 0.5])[: len(x)].astype(np.float32)
    log_mel, log_mel_hat = (cepstrum._log_mel(resample(audio, RATE, 16000)) for audio in (x, x_hat))
    k, m = np.arange(1, 25)[:, None], np.arange(40)[None, :]
    difference = 2.0 / 40 * np.cos(math.pi * k * (m + 0.5) / 40) @ (log_mel - log_mel_hat)
    frames = np.sqrt(2.0 * np.square(difference).sum(axis=0))[:99] * 10.0 / math.log(10.0)
    assert mel_cepstral_distortion(x, x_hat, RATE) == pytest.approx(frames.mean(), rel=0.01)
    with pytest.raises(MetricUndefinedError, match="silent"):
        mel_cepstral_distortion(0 * x, x, RATE)


def test_the_stft_distance_of_a_gain_is_known() -> None:
    """Twice as loud: a convergence of 1 and log 2, where nothing is at the floor."""
    x = noise(1.0, level=0.5)
    assert multi_resolution_stft_distance(x, 2 * x, RATE) == pytest.approx(1.0 + math.log(2.0), rel=1e-3)


def test_the_stft_distance_ignores_the_sign_and_needs_sound() -> None:
    x = noise()
    assert multi_resolution_stft_distance(x, -x, RATE) == 0.0
    with pytest.raises(MetricUndefinedError, match="silent"):
        multi_resolution_stft_distance(0 * x, x, RATE)


@pytest.mark.parametrize("f0", [80.0, 220.0, 440.0])
def test_the_pitch_of_a_tone_is_followed(f0: float) -> None:
    skip_without(BY_NAME["pitch_rmse_cents"])
    track = pitch_track(breathy(tone(f0)), RATE)
    assert track.voiced.mean() > 0.9
    cents = 1200 * np.log2(track.f0[track.voiced] / f0)
    assert np.abs(np.median(cents)) < 12.0  # half a step of 20 cents, and some
    assert np.quantile(np.abs(cents), 0.9) < 35.0


def test_the_error_of_two_tones_is_their_interval() -> None:
    skip_without(BY_NAME["pitch_rmse_cents"])
    semitone = 2 ** (1 / 12)
    assert pitch_rmse(breathy(tone(200.0)), breathy(tone(200.0 * semitone)), RATE) == pytest.approx(100.0, abs=25.0)
    assert pitch_rmse(breathy(tone(200.0)), breathy(tone(400.0)), RATE) == pytest.approx(1200.0, abs=60.0)


def test_half_a_voice_has_the_scores_that_follow_from_it() -> None:
    """Of the frames voiced in one or the other, half are voiced in both: F1 = 2 (1/2) / (1 + 1/2)."""
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


def test_silence_is_not_voiced_however_periodic() -> None:
    skip_without(BY_NAME["voicing_f1"])
    assert not pitch_track(tone(150.0, level=1e-5), RATE).voiced.any()


def test_pitch_and_voicing_need_voiced_frames() -> None:
    skip_without(BY_NAME["voicing_f1"])
    silence = np.zeros(RATE, np.float32)
    with pytest.raises(MetricUndefinedError, match="voiced in both"):
        pitch_rmse(breathy(tone(150.0)), silence, RATE)
    with pytest.raises(MetricUndefinedError, match="voiced frames"):
        voicing_f1(silence, silence, RATE)
    with pytest.raises(MetricUndefinedError, match="recording with voiced frames"):
        voiced_share(silence, breathy(tone(150.0)), RATE)


def low_passed(x: Audio, edge: float = 7500.0) -> Audio:
    spectrum = np.fft.rfft(x)
    spectrum[np.fft.rfftfreq(len(x), 1 / RATE) > edge] = 0.0
    return np.fft.irfft(spectrum, len(x)).astype(np.float32)


def test_the_band_of_white_noise_is_its_share_of_the_spectrum() -> None:
    x = noise(2.0)
    expected = 10.0 * math.log10((10800.0 - 8200.0) / (RATE / 2.0))
    assert band_level(0 * x, x, RATE) == pytest.approx(expected, abs=0.2)
    assert band_level(x, 0.1 * x, RATE) == pytest.approx(expected, abs=0.2)
    assert band_level(x, low_passed(x), RATE) < -80.0


def test_a_band_is_kept_within_six_decibels() -> None:
    x = noise(2.0)
    low = low_passed(x)
    high = x - low
    assert [band_is_kept(x, low + np.float32(gain) * high, RATE) for gain in (1.6, 0.6, 0.3, 0.0)] == [100, 100, 0, 0]
    with pytest.raises(MetricUndefinedError, match="nothing above 8 kHz"):
        band_is_kept(low, x, RATE)


def test_the_band_needs_its_sample_rate_and_sound() -> None:
    with pytest.raises(MetricUndefinedError, match="16000 Hz has no band"):
        band_level(noise(), noise(), 16000)
    with pytest.raises(MetricUndefinedError, match="silent"):
        band_level(noise(), 0 * noise(), RATE)
