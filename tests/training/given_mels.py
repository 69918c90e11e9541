"""A corpus whose recordings came with mels that are not their own: each frame says which one it is."""

import numpy as np
from evaluation_corpus import write_recordings


def numbered_mel(mel_config, frames):
    """Return a mel (n_mels, frames) within the mel config's range, whose frame i is -8 + i / 100 in every band."""
    return np.tile(np.float32(-8) + np.arange(frames, dtype=np.float32) / 100, (mel_config.n_mels, 1))


def write_given(root, mel_config, plan):
    """Write noise for each (split, samples, with a mel), and the numbered mels of those that have one."""
    recordings = []
    for number, (split, samples, with_mel) in enumerate(plan):
        x = 0.1 * np.random.default_rng(number).standard_normal(samples)
        if with_mel:
            np.save(root / f"{number}.npy", numbered_mel(mel_config, mel_config.frames(samples)))
        recordings.append((x, {"split": split, "mel": f"{number}.npy" if with_mel else None}))
    return write_recordings(root, *recordings, rate=mel_config.sample_rate)
