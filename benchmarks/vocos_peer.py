"""Vocos, the common alternative for speed: the classes of PyPI's `vocos`, for mels of 80 bands.

Siuzdak, "Vocos: Closing the gap between time-domain and Fourier-based neural vocoders" (arXiv 2306.00814): ConvNeXt
blocks at frame rate, then an inverse STFT. The package comes with the extra `peers`.
"""

import torch
from torch import Tensor, nn

from vocoder.mel.config import MelConfig

CHANNELS, HIDDEN, BLOCKS = 512, 1536, 8
"""of the published model for mels"""


class VocosPeer(nn.Module):
    """Vocos' generator: natural-log mels (B, n_mels, frames) to audio (B, frames * hop_length).

    Raises ModuleNotFoundError if the package `vocos` is not installed.
    """

    def __init__(self, config: MelConfig) -> None:
        super().__init__()
        from vocos.heads import ISTFTHead  # optional package, needed only for this peer
        from vocos.models import VocosBackbone

        self.backbone = VocosBackbone(config.n_mels, CHANNELS, HIDDEN, BLOCKS)
        self.head = ISTFTHead(CHANNELS, config.n_fft, config.hop_length, "center")
        self.hop_length = config.hop_length

    def forward(self, mel: Tensor) -> Tensor:
        """Return audio; the head leaves out the last hop, which is filled with silence."""
        x: Tensor = self.head(self.backbone(mel))
        return nn.functional.pad(x, (0, mel.shape[2] * self.hop_length - x.shape[1]))

    @torch.inference_mode()
    def synthesize(self, mel: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return audio, with bfloat16 autocast if requested."""
        with torch.autocast(mel.device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
            return self(mel)
