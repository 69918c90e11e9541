import re
from pathlib import Path

import yaml

from server.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
KNOWN = {f"VOCODER_{name.upper()}" for name in Settings.model_fields}
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_compose_names_settings_and_targets_that_there_are():
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    assert set(services) == {"vocoder", "vocoder-gpu"}
    for service in services.values():
        assert set(service["environment"]) <= KNOWN
        assert f" AS {service['build']['target']}\n" in DOCKERFILE
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        settings = Settings(drain_timeout=float(service["environment"]["VOCODER_DRAIN_TIMEOUT"]))
        assert int(service["stop_grace_period"].removesuffix("s")) > settings.drain_delay + settings.drain_timeout


def test_compose_mounts_what_the_readme_publishes():
    published = re.findall(r"vocoder-train finetune RECORDINGS -o (\w+)/mine\b", README)
    assert published
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    for service in services.values():
        assert service["volumes"] == [f"${{MODELS_DIR:-./{folder}}}:/models:ro" for folder in published]


def test_the_dockerfile_names_settings_that_there_are():
    named = set(re.findall(r"\b(VOCODER_\w+)=", DOCKERFILE))
    assert {"VOCODER_HOST", "VOCODER_PORT", "VOCODER_ADMIN_HOST", "VOCODER_DEVICE"} <= named <= KNOWN
