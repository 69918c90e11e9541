"""The segments that validation sees: of voices that training hears, of utterances that it does not."""

from __future__ import annotations

from training.corpora.manifest import Manifest
from training.data.datasets import SegmentConfig, SegmentDataset

__all__ = ["held_out_segments"]


def held_out_segments(manifest: Manifest, segments: SegmentConfig, items: int) -> SegmentDataset:
    """Return `items` segments of the test split, cut like the training segments but not varied.

    Voices of which nothing is trained on are left out: they are kept for the final evaluation.

    Args:
        manifest: the corpus.
        segments: how training segments are cut.
        items: how many.
    """
    plain = SegmentConfig(
        segment_length=segments.segment_length,
        hop_length=segments.hop_length,
        margin=segments.margin,
        epoch_length=items,
    )
    return SegmentDataset(manifest, "test", plain, manifest.trained_speakers)
