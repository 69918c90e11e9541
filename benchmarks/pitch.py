"""Compares a model's pitch network, on mels alone, with pYIN on the recordings, at several playing speeds.

    python -m benchmarks.pitch --manifest runs/elsewhere/manifest.jsonl [--model NAME|DIR ...] [--rates 1 0.65]

Each cell has the share of frames whose voicing agrees, the share of frames voiced in both whose pitch is off by more
than 100 cents, voiced frames relative to pYIN's, and the median pitch. Labels are made as those of training. pYIN hears
little in noise and errs too, so read the columns of two models beside each other.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from training.corpora.manifest import read_manifest
from training.corpora.pitch import label_hop, track_pitch
from training.evaluate.metric import Audio
from training.evaluate.options import Comparison
from training.evaluate.recordings import recordings
from vocoder.adapt.adapter import centre_of
from vocoder.audio.resampling import resample
from vocoder.config import ConfigError
from vocoder.layers.conditioning import PitchNet
from vocoder.loading import DEFAULT_MODEL, load
from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import MelSpectrogram
from vocoder.synthesis.synthesizer import Synthesizer
from vocoder.timing import markdown_table

_CENTS = 100.0
_STEPS = 40  # playing speeds are multiples of 1/40, as in training


def main() -> int:
    """Print a table per playing speed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", type=Path, required=True, help="prepared corpus; its test split is used")
    parser.add_argument("--model", nargs="+", default=[DEFAULT_MODEL], help="model names or directories (%(default)s)")
    parser.add_argument("--rates", type=float, nargs="+", default=[1.0, 0.65], help="playing speeds (%(default)s)")
    parser.add_argument("--limit", type=int, default=6, help="recordings per corpus (%(default)s)")
    args = parser.parse_args()
    models = {name: load(name, guard="off") for name in args.model}
    found = recordings(read_manifest(args.manifest), Comparison(min_seconds=1.0, limit=args.limit, by="corpus"))
    for rate in args.rates:
        rows: dict[str, dict[str, list[tuple[float, ...]]]] = {}
        for recording in found:
            for name, voice in models.items():
                x = resample(recording.at(voice.sample_rate), round(_STEPS * rate), _STEPS)
                rows.setdefault(recording.voice, {}).setdefault(name, []).append(compared(voice, x))
        cells = {corpus: [_cell(row[name]) for name in models] for corpus, row in rows.items()}
        means = [_cell([one for row in rows.values() for one in row[name]]) for name in models]
        table = [[corpus, *line] for corpus, line in cells.items()] + [["all recordings", *means]]
        print(f"\nplayed {rate:g} times as fast\n\n{markdown_table(['corpus', *models], table)}", flush=True)
    return 0


def compared(voice: Synthesizer, x: Audio) -> tuple[float, float, float, float]:
    """Return voicing agreement, share of wrong pitches, voiced frames relative to pYIN's, and pYIN's median f0.

    Raises ConfigError if the model has no pitch network.
    """
    net = getattr(voice.model, "pitch", None)
    if not isinstance(net, PitchNet):
        raise ConfigError(f"{voice.name} has no pitch network")
    with torch.inference_mode():
        mel = MelSpectrogram(voice.mel_config)(torch.from_numpy(x)[None])
        f0, voicing = (signal[0].double().numpy() for signal in net.pitch(mel))
    heard = voicing > 0.5
    label = at_frames(track_pitch(x, voice.sample_rate), len(f0), voice.mel_config)
    voiced = label > 0
    off = np.abs(1200 * np.log2(f0[heard & voiced] / label[heard & voiced])) > _CENTS
    return (
        float(np.mean(heard == voiced)),
        float(off.mean()) if off.size else np.nan,
        float(heard.sum() / max(voiced.sum(), 1)),
        float(np.median(label[voiced])) if voiced.any() else np.nan,
    )


def at_frames(labels: Audio, frames: int, config: MelConfig) -> Audio:
    """Return the label nearest to each mel frame; labels are equally spaced in seconds at every sample rate."""
    seconds = float(centre_of(config)) + np.arange(frames) * float(config.frame_seconds)
    nearest = np.round(seconds * config.sample_rate / label_hop(config.sample_rate, 1.0)).astype(int)
    return labels[np.minimum(nearest, len(labels) - 1)]


def _cell(rows: list[tuple[float, ...]]) -> str:
    agreed, off, share, hertz = np.nanmean(np.array(rows), axis=0)
    return f"{agreed:.3f}, {100 * off:.1f} %, {share:.2f} ({hertz:.0f} Hz)"


if __name__ == "__main__":
    raise SystemExit(main())
