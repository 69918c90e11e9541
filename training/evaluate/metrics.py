"""The table of metrics."""

from __future__ import annotations

from training.evaluate.band import band_is_kept, band_level
from training.evaluate.cepstrum import mel_cepstral_distortion
from training.evaluate.metric import Metric
from training.evaluate.opinions import naturalness, overall_quality, pesq_wide_band, short_time_intelligibility
from training.evaluate.pitch import periodicity_rmse, pitch_rmse, voiced_share, voicing_f1
from training.evaluate.stft_distance import multi_resolution_stft_distance

__all__ = ["METRICS"]

METRICS: tuple[Metric, ...] = (
    Metric("pesq", "PESQ", "higher", 2, pesq_wide_band, "ITU-T P.862.2 wide band at 16 kHz, 1 to 4.64", "pesq"),
    Metric(
        "stoi",
        "STOI",
        "higher",
        3,
        short_time_intelligibility,
        "short-time objective intelligibility (not the extended one) at 10 kHz, 0 to 1",
        "pystoi",
    ),
    Metric(
        "distillmos",
        "DistillMOS",
        "higher",
        2,
        naturalness,
        "mean opinion score from 1 to 5 that a network predicts at 16 kHz without the reference",
        "distillmos",
    ),
    Metric(
        "dnsmos",
        "DNSMOS",
        "higher",
        2,
        overall_quality,
        "mean opinion score from 1 to 5 that DNSMOS P.808, another network, predicts at 16 kHz without the "
        "reference, mean over windows of 9.01 s (shorter audio is repeated)",
        "speechmos",
    ),
    Metric(
        "mcd_db",
        "MCD dB",
        "lower",
        2,
        mel_cepstral_distortion,
        "mel-cepstral distortion: (10 / ln 10) sqrt(2 sum (c_k - c'_k)^2), k = 1 to 24, from 40 mel bands "
        "at 16 kHz every 10 ms, frames within 40 dB of the loudest, no time warping",
    ),
    Metric(
        "stft_distance",
        "STFT dist.",
        "lower",
        3,
        multi_resolution_stft_distance,
        "multi-resolution STFT distance: spectral convergence plus mean |log magnitude difference|, mean of "
        "FFT sizes 512, 1024, 2048 (windows 240, 600, 1200; hops 50, 120, 240)",
    ),
    Metric(
        "periodicity_rmse",
        "periodicity",
        "lower",
        3,
        periodicity_rmse,
        "root mean square difference of the periodicity from 0 to 1 that CREPE (tiny, 50 to 550 Hz, "
        "Viterbi) finds every 10 ms at 16 kHz, 0 where the A-weighted level is below -60 dB",
        "torchcrepe",
    ),
    Metric(
        "voicing_f1",
        "V/UV F1",
        "higher",
        3,
        voicing_f1,
        "F1 score of voicing, a periodicity of at least 0.21, against the recording's",
        "torchcrepe",
    ),
    Metric(
        "voiced_share",
        "voiced %",
        "closer",
        0,
        voiced_share,
        "voiced frames in % of the recording's: below 100 is breathier",
        "torchcrepe",
    ),
    Metric(
        "pitch_rmse_cents",
        "pitch RMSE ct",
        "lower",
        0,
        pitch_rmse,
        "root mean square deviation of the pitch in cents (100 to a semitone), over frames voiced in both",
        "torchcrepe",
    ),
    Metric(
        "band_db",
        "8-11 kHz dB",
        "closer",
        0,
        band_level,
        "energy from 8.2 to 10.8 kHz relative to the whole, in dB (Welch, Hann windows of 1024 samples)",
    ),
    Metric(
        "band_kept",
        "kept %",
        "higher",
        0,
        band_is_kept,
        "utterances whose energy from 8.2 to 10.8 kHz is within 6 dB of the recording's, of those whose "
        "recording has at least -60 dB there",
    ),
)
"""In the order of the columns."""
