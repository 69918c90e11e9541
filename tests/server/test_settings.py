"""Settings come from the environment, are checked, and are all documented."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from server.settings import Settings

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "server.md"


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOCODER_MODELS", "waveglow, other/dir ,")
    monkeypatch.setenv("VOCODER_MAX_FRAMES", "100")
    settings = Settings()
    assert settings.models == ("waveglow", "other/dir")
    assert settings.max_frames == 100
    assert Settings(max_frames=7).max_frames == 7


@pytest.mark.parametrize(
    ("name", "value"),
    [("MODELS", ","), ("PORT", "-1"), ("QUEUE_SIZE", "0"), ("MAX_AUDIO_SECONDS", "nan"), ("LOG_LEVEL", "loud")],
)
def test_settings_are_checked(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"VOCODER_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().port = 1  # type: ignore[misc]


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented_with_its_default(name: str) -> None:
    field = Settings.model_fields[name]
    default = ",".join(field.default) if name == "models" else field.default
    start = f"| `VOCODER_{name.upper()}` |"
    rows = [line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith(start)]
    assert rows == [f"{start} `{default}` | {field.description} |"]
