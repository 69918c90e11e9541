"""The chart without Helm, Compose and HAProxy's configuration: names, values and versions."""

import json
import re
from pathlib import Path

import jsonschema
import yaml

import vocoder
from server.app import create_app
from server.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
KNOWN = {f"VOCODER_{name.upper()}" for name in Settings.model_fields}
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
CHART = ROOT / "deploy" / "helm" / "flow-vocoder"
TEMPLATES = "\n".join(path.read_text(encoding="utf-8") for path in sorted((CHART / "templates").iterdir()))


def test_values_fit_their_schema_are_used_and_have_this_version():
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    jsonschema.validate(values, json.loads((CHART / "values.schema.json").read_text(encoding="utf-8")))
    names = {f".Values.{name}" for name in values}
    assert {name for name in names if name not in TEMPLATES} == set()
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["version"] == chart["appVersion"] == vocoder.__version__


def test_the_balancer_balances_by_connections_and_fits_the_server():
    text = (CHART / "haproxy.cfg").read_text(encoding="utf-8")
    found = lambda pattern: re.findall(pattern, text, flags=re.MULTILINE)[0]  # noqa: E731
    assert "\n    balance leastconn\n" in text
    assert found(r"http-check send meth GET uri (\S+)") in create_app(Settings()).openapi()["paths"]
    assert int(found(r"timeout http-keep-alive (\d+)s")) < Settings().keep_alive_timeout
    assert int(found(r"default-server .* maxconn (\d+)")) < Settings().max_connections


def test_compose_and_the_dockerfile_use_existing_settings_targets_and_folders():
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    assert set(services) == {"vocoder", "vocoder-gpu"}
    for service in services.values():
        assert set(service["environment"]) <= KNOWN
        assert f" AS {service['build']['target']}\n" in DOCKERFILE
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        settings = Settings(drain_timeout=float(service["environment"]["VOCODER_DRAIN_TIMEOUT"]))
        assert int(service["stop_grace_period"].removesuffix("s")) > settings.drain_delay + settings.drain_timeout
    named = set(re.findall(r"\b(VOCODER_\w+)=", DOCKERFILE))
    assert {"VOCODER_HOST", "VOCODER_PORT", "VOCODER_ADMIN_HOST", "VOCODER_DEVICE"} <= named <= KNOWN
    assert (published := re.findall(r"vocoder-train finetune RECORDINGS -o (\w+)/mine\b", README))
    for service in services.values():
        assert service["volumes"] == [f"${{MODELS_DIR:-./{folder}}}:/models:ro" for folder in published]
