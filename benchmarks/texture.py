"""Measures the texture of mels, in units of white noise's, and how far they are sharpened for lacking it.

    python -m benchmarks.texture --manifest runs/elsewhere/manifest.jsonl [--mel nvidia]

Each row has a corpus: the mels of its own recordings, and the mels that came with them if some did.
"""

import argparse
from pathlib import Path

import torch

from training.corpora.manifest import read_manifest
from training.evaluate.options import Comparison
from training.evaluate.recordings import recordings
from vocoder.mel.config_file import load_mel_config
from vocoder.mel.sharpening import Sharpener, Sharpening
from vocoder.mel.spectrogram import mel_of
from vocoder.timing import markdown_table

HEADINGS = ["mels of", "number", "least texture", "largest texture", "sharpened anywhere", "largest strength"]


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", type=Path, nargs="+", required=True, help="prepared corpora (test splits)")
    parser.add_argument("--mel", default="nvidia", help="preset or mel config file (%(default)s)")
    parser.add_argument("--limit", type=int, default=60, help="recordings per corpus (%(default)s)")
    args = parser.parse_args()
    config = load_mel_config(args.mel)
    sharpener = Sharpener(config)
    rows: dict[str, list[tuple[float, float]]] = {}
    for file in args.manifest:
        for one in recordings(read_manifest(file), Comparison(min_seconds=1.0, limit=args.limit, by="corpus")):
            mels = {one.voice: mel_of(one.at(config.sample_rate), config)}
            if (given := one.given(config)) is not None:
                mels[f"{one.voice}, given"] = given[0]
            for name, mel in mels.items():
                heard = torch.from_numpy(mel)[None]
                texture = float(Sharpening(sharpener).textures(heard)[0, -1])
                strength = float(Sharpening(sharpener).strengths(heard).max())
                rows.setdefault(name, []).append((texture, strength))
    print(markdown_table(HEADINGS, [[name, *_cells(found)] for name, found in rows.items()]))
    return 0


def _cells(found: list[tuple[float, float]]) -> list[str]:
    textures, strengths = zip(*found, strict=True)
    touched = sum(strength > 0 for strength in strengths)
    return [str(len(found)), f"{min(textures):.2f}", f"{max(textures):.2f}", str(touched), f"{max(strengths):.2f}"]


if __name__ == "__main__":
    raise SystemExit(main())
