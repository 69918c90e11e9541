"""The table of metrics."""

from training.evaluate.metric import Metric
from training.evaluate.opinions import naturalness, overall_quality, pesq_wide_band, short_time_intelligibility
from training.evaluate.pitch import periodicity_rmse, pitch_rmse, voiced_share, voicing_f1
from training.evaluate.spectra import band_is_kept, band_level, multi_resolution_stft_distance

CREPE = "torchcrepe"
METRICS: tuple[Metric, ...] = (
    Metric("pesq", "PESQ", 2, "ITU-T P.862.2 wide band at 16 kHz, 1 to 4.64", "higher", pesq_wide_band, "pesq"),
    Metric("stoi", "STOI", 3, "intelligibility at 10 kHz, 0 to 1", "higher", short_time_intelligibility, "pystoi"),
    Metric(
        "distillmos", "DistillMOS", 2, "a network's opinion of the sound, 1 to 5", "higher", naturalness, "distillmos"
    ),
    Metric("dnsmos", "DNSMOS", 2, "the opinion of DNSMOS P.808, 1 to 5", "higher", overall_quality, "speechmos"),
    Metric(
        "stft_distance",
        "STFT dist.",
        3,
        "spectral convergence + mean |log magnitude difference|, mean of FFT sizes 512, 1024 and 2048",
        "lower",
        multi_resolution_stft_distance,
    ),
    Metric(
        "periodicity_rmse",
        "periodicity",
        3,
        "RMSE of the periodicity, 0 to 1, that CREPE (tiny, 50 to 550 Hz) finds every 10 ms; 0 below -60 dB",
        "lower",
        periodicity_rmse,
        CREPE,
    ),
    Metric("voicing_f1", "V/UV F1", 3, "F1 of voicing (periodicity >= 0.21)", "higher", voicing_f1, CREPE),
    Metric("voiced_share", "voiced %", 0, "voiced frames in % of the recording's", "closer", voiced_share, CREPE),
    Metric("pitch_rmse_cents", "pitch RMSE ct", 0, "in cents, over frames voiced in both", "lower", pitch_rmse, CREPE),
    Metric("band_db", "8-11 kHz dB", 0, "energy from 8.2 to 10.8 kHz in dB of the whole", "closer", band_level),
    Metric(
        "band_kept",
        "kept %",
        0,
        "utterances whose energy from 8.2 to 10.8 kHz is within 6 dB of the recording's, if that has at least -60 dB",
        "higher",
        band_is_kept,
    ),
)
"""all metrics, in the order of the columns"""
