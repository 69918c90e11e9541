from __future__ import annotations

from vocoder.mel.config import ALIASES, PRESETS, canonical, other_names


def test_every_alias_stands_for_a_preset_and_hides_none():
    assert set(ALIASES.values()) <= set(PRESETS)
    assert not set(ALIASES) & set(PRESETS)
    for name, stands_for in ALIASES.items():
        assert canonical(name, PRESETS) == stands_for
        assert name in other_names(stands_for)


def test_case_and_punctuation_do_not_matter():
    assert canonical("Index TTS2", PRESETS) == "indextts2"
    assert canonical("MATCHA_TTS", PRESETS) == "hifigan"
    assert canonical("---", PRESETS) is None
