from pathlib import Path

import pytest
from pydantic import ValidationError

from server.settings import Settings

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "server.md"


def test_settings_are_read_from_the_environment_and_documented(monkeypatch):
    monkeypatch.setenv("VOCODER_MODELS", "waveglow, other/dir ,")
    monkeypatch.setenv("VOCODER_MAX_FRAMES", "100")
    assert (Settings().models, Settings().max_frames) == (("waveglow", "other/dir"), 100)
    monkeypatch.setenv("VOCODER_ADMIN_PORT", "")  # as Compose sets it
    assert (Settings(max_frames=7).max_frames, Settings().admin_port) == (7, None)
    rows = [line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("| `VOCODER_")]
    for name, field in Settings.model_fields.items():
        default = ",".join(field.default) if name == "models" else field.default
        assert f"| `VOCODER_{name.upper()}` | `{default}` | {' '.join(field.description.split())} |" in rows


INVALID = ["MODELS=,", "PORT=-1", "QUEUE_SIZE=0", "MAX_AUDIO_SECONDS=nan", "LOG_LEVEL=loud", "DRAIN_DELAY=inf"]
INVALID += ["DRAIN_TIMEOUT=1e12", "ALLOWED_HOSTS=http://test", "MODEL_CONTROL=true", "DEVICE=gpu", "CORS_ORIGINS=*"]
INVALID += ["ALLOWED_HOSTS=*.", "ALLOWED_HOSTS=*voice", "REQUESTS_PER_MINUTE=1", "MODELS=student,student"]
INVALID += ["CORS_ORIGINS=http://localhost/", "CORS_ORIGINS=voice.test", "MAX_BUFFERED_BYTES=4194304"]


@pytest.mark.parametrize(("name", "value"), [pair.split("=") for pair in INVALID])
def test_invalid_settings_are_rejected(monkeypatch, name, value):
    monkeypatch.setenv(f"VOCODER_{name}", value)
    with pytest.raises(ValidationError, match=f"(?i){name}"):
        Settings()
