"""Encodings are found by the mel configs that have them."""

from __future__ import annotations

import dataclasses

from vocoder.guard.conventions import encoding_of, encodings
from vocoder.mel.config import PRESETS, preset

NVIDIA = preset("nvidia")


def test_each_mel_config_has_the_encoding_of_its_fields():
    for name, encoding in encodings().items():
        if encoding.fields is not None:
            assert encoding_of(dataclasses.replace(NVIDIA, **encoding.fields)) == name
    numbers = tuple(range(1, 81))
    assert encoding_of(dataclasses.replace(NVIDIA, mean=numbers, variance=numbers)) == "statistics"
    assert encoding_of(dataclasses.replace(NVIDIA, log="db20", ref_db=3.0)) is None
    assert all(encoding_of(config) in encodings() for config in PRESETS.values())
