"""A corpus with given mels that differ from the recordings' own: each frame contains its number."""

import numpy as np
from evaluation_corpus import write_recordings


def write_given(root, mel_config, plan):
    """Write noise for each (split, samples, with_mel), and mels where requested: frame i is -8 + i / 100."""
    recordings = []
    for number, (split, samples, with_mel) in enumerate(plan):
        x = 0.1 * np.random.default_rng(number).standard_normal(samples)
        if with_mel:
            frame = np.float32(-8) + np.arange(mel_config.frames(samples), dtype=np.float32) / 100
            np.save(root / f"{number}.npy", np.tile(frame, (mel_config.n_mels, 1)))
        recordings.append((x, {"split": split, "mel": f"{number}.npy" if with_mel else None}))
    return write_recordings(root, *recordings, rate=mel_config.sample_rate)
