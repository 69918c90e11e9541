"""Loss of a network that estimates pitch from the mel, against a batch's labels."""

import torch
from torch import Tensor
from torch.nn import functional as F

from vocoder.layers.conditioning import PitchNet


def pitch_loss(pitch: PitchNet, mel: Tensor, f0: Tensor) -> Tensor:
    """Return the cross-entropy of the pitch in voiced frames, plus that of the voicing in all frames.

    The target is a bell curve of one class width around the true pitch, as in CREPE (Kim et al., 2018). Pitch outside
    of all classes only counts as voiced. The mel is (B, n_mels, frames); f0 (B, frames) is in Hz, 0 for unvoiced
    frames.
    """
    logits, voicing = pitch(mel)
    config, voiced = pitch.config, f0 > 0
    index = torch.arange(config.bins, device=mel.device)[None, :, None]
    target = torch.softmax(-0.5 * (index - pitch.position(f0.clamp_min(1.0))[:, None]).square(), dim=1)
    entropy = -(target * torch.log_softmax(logits, dim=1)).sum(dim=1)
    decision = F.binary_cross_entropy_with_logits(voicing, voiced.to(voicing.dtype))
    known = (f0 >= config.f0_min) & (f0 <= config.f0_max)
    loss: Tensor = (entropy * known).sum() / known.sum().clamp_min(1) + decision
    return loss
