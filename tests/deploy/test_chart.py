"""What holds of the chart without Helm: its settings, values and version, and HAProxy's configuration."""

import json
import re
from pathlib import Path

import jsonschema
import yaml

import vocoder
from server.app import create_app
from server.settings import Settings

CHART = Path(__file__).resolve().parents[2] / "deploy" / "helm" / "flow-vocoder"
TEMPLATES = "\n".join(path.read_text(encoding="utf-8") for path in sorted((CHART / "templates").iterdir()))


def test_values_fit_their_schema_and_each_is_used():
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    jsonschema.validate(values, json.loads((CHART / "values.schema.json").read_text(encoding="utf-8")))
    names = {f".Values.{name}" for name in values}
    assert {name for name in names if name not in TEMPLATES} == set()


def test_its_version_is_the_package_s():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["version"] == chart["appVersion"] == vocoder.__version__


def test_the_balancer_counts_requests_in_flight_and_knows_the_server():
    text = (CHART / "haproxy.cfg").read_text(encoding="utf-8")
    found = lambda pattern: re.findall(pattern, text, flags=re.MULTILINE)[0]  # noqa: E731
    assert "\n    balance leastconn\n" in text
    assert found(r"http-check send meth GET uri (\S+)") in create_app(Settings()).openapi()["paths"]
    assert int(found(r"timeout http-keep-alive (\d+)s")) < Settings().keep_alive_timeout
    assert int(found(r"default-server .* maxconn (\d+)")) < Settings().max_connections
