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
    Metric(
        name="pesq",
        title="PESQ",
        better="higher",
        decimals=2,
        definition="ITU-T P.862.2 wide band at 16 kHz, 1 to 4.64",
        version=1,
        measure=pesq_wide_band,
        package="pesq",
    ),
    Metric(
        name="stoi",
        title="STOI",
        better="higher",
        decimals=3,
        definition="short-time objective intelligibility (not the extended one) at 10 kHz, 0 to 1",
        version=2,
        measure=short_time_intelligibility,
        package="pystoi",
    ),
    Metric(
        name="distillmos",
        title="DistillMOS",
        better="higher",
        decimals=2,
        definition="mean opinion score from 1 to 5 that a network predicts at 16 kHz without the reference",
        version=1,
        measure=naturalness,
        package="distillmos",
    ),
    Metric(
        name="dnsmos",
        title="DNSMOS",
        better="higher",
        decimals=2,
        definition="mean opinion score from 1 to 5 that DNSMOS P.808, another network, predicts at 16 kHz without the "
        "reference, mean over windows of 9.01 s (shorter audio is repeated)",
        version=1,
        measure=overall_quality,
        package="speechmos",
    ),
    Metric(
        name="mcd_db",
        title="MCD dB",
        better="lower",
        decimals=2,
        definition="mel-cepstral distortion: (10 / ln 10) sqrt(2 sum (c_k - c'_k)^2), k = 1 to 24, from 40 mel bands "
        "at 16 kHz every 10 ms, frames within 40 dB of the loudest, no time warping",
        version=1,
        measure=mel_cepstral_distortion,
    ),
    Metric(
        name="stft_distance",
        title="STFT dist.",
        better="lower",
        decimals=3,
        definition="multi-resolution STFT distance: spectral convergence plus mean |log magnitude difference|, mean of "
        "FFT sizes 512, 1024, 2048 (windows 240, 600, 1200; hops 50, 120, 240)",
        version=1,
        measure=multi_resolution_stft_distance,
    ),
    Metric(
        name="periodicity_rmse",
        title="periodicity",
        better="lower",
        decimals=3,
        definition="root mean square difference of the periodicity from 0 to 1 that CREPE (tiny, 50 to 550 Hz, "
        "Viterbi) finds every 10 ms at 16 kHz, 0 where the A-weighted level is below -60 dB",
        version=1,
        measure=periodicity_rmse,
        package="torchcrepe",
    ),
    Metric(
        name="voicing_f1",
        title="V/UV F1",
        better="higher",
        decimals=3,
        definition="F1 score of voicing, a periodicity of at least 0.21, against the recording's",
        version=1,
        measure=voicing_f1,
        package="torchcrepe",
    ),
    Metric(
        name="voiced_share",
        title="voiced %",
        better="closer",
        decimals=0,
        definition="voiced frames in % of the recording's: below 100 is breathier",
        version=1,
        measure=voiced_share,
        package="torchcrepe",
    ),
    Metric(
        name="pitch_rmse_cents",
        title="pitch RMSE ct",
        better="lower",
        decimals=0,
        definition="root mean square deviation of the pitch in cents (100 to a semitone), over frames voiced in both",
        version=1,
        measure=pitch_rmse,
        package="torchcrepe",
    ),
    Metric(
        name="band_db",
        title="8-11 kHz dB",
        better="closer",
        decimals=0,
        definition="energy from 8.2 to 10.8 kHz relative to the whole, in dB (Welch, Hann windows of 1024 samples)",
        version=1,
        measure=band_level,
    ),
    Metric(
        name="band_kept",
        title="kept %",
        better="higher",
        decimals=0,
        definition="utterances whose energy from 8.2 to 10.8 kHz is within 6 dB of the recording's, of those whose "
        "recording has at least -60 dB there",
        version=1,
        measure=band_is_kept,
    ),
)
"""In the order of the columns."""
