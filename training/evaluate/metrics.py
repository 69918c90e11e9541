"""The table of metrics."""

from training.evaluate.metric import Metric
from training.evaluate.opinions import naturalness, overall_quality, pesq_wide_band, short_time_intelligibility
from training.evaluate.pitch import periodicity_rmse, pitch_rmse, voiced_share, voicing_f1
from training.evaluate.spectra import band_is_kept, band_level, multi_resolution_stft_distance

METRICS: tuple[Metric, ...] = (
    Metric("pesq", "PESQ", "higher", 2, pesq_wide_band, "ITU-T P.862.2 wide band at 16 kHz, 1 to 4.64", "pesq"),
    Metric("stoi", "STOI", "higher", 3, short_time_intelligibility, "intelligibility at 10 kHz, 0 to 1", "pystoi"),
    Metric(
        "distillmos", "DistillMOS", "higher", 2, naturalness, "a network's opinion of the sound, 1 to 5", "distillmos"
    ),
    Metric("dnsmos", "DNSMOS", "higher", 2, overall_quality, "the opinion of DNSMOS P.808, 1 to 5", "speechmos"),
    Metric(
        "stft_distance",
        "STFT dist.",
        "lower",
        3,
        multi_resolution_stft_distance,
        "spectral convergence + mean |log magnitude difference|, mean of FFT sizes 512, 1024 and 2048",
    ),
    Metric(
        "periodicity_rmse",
        "periodicity",
        "lower",
        3,
        periodicity_rmse,
        "RMSE of the periodicity, 0 to 1, that CREPE (tiny, 50 to 550 Hz) finds every 10 ms; 0 below -60 dB",
        "torchcrepe",
    ),
    Metric("voicing_f1", "V/UV F1", "higher", 3, voicing_f1, "F1 of voicing (periodicity >= 0.21)", "torchcrepe"),
    Metric(
        "voiced_share", "voiced %", "closer", 0, voiced_share, "voiced frames in % of the recording's", "torchcrepe"
    ),
    Metric(
        "pitch_rmse_cents",
        "pitch RMSE ct",
        "lower",
        0,
        pitch_rmse,
        "in cents, over frames voiced in both",
        "torchcrepe",
    ),
    Metric("band_db", "8-11 kHz dB", "closer", 0, band_level, "energy from 8.2 to 10.8 kHz in dB of the whole"),
    Metric(
        "band_kept",
        "kept %",
        "higher",
        0,
        band_is_kept,
        "utterances whose energy from 8.2 to 10.8 kHz is within 6 dB of the recording's, if that has at least -60 dB",
    ),
)
"""In the order of the columns."""
