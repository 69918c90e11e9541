"""The server provides every metric and label used by the dashboard, the alerts and the autoscaler's rule."""

import json
import re
from pathlib import Path

import numpy as np
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from server.app import create_app
from server.engine.jobs import Job
from server.settings import Settings
from vocoder.mel.config import preset

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
ADDED_BY_PROMETHEUS = {"job", "instance", "namespace", "pod", "le"}
ON_READY_MODELS = {"vocoder_model_info": {"model", "family", "device", "dtype", "weights_sha256"}}
NAME = re.compile(r"\bvocoder_[a-z0-9_]+")


def count_everything(metrics):
    metrics.record("requests", route="/v1/synthesize", method="POST", code="401")
    metrics.record("request_seconds", 0.1, route="/v1/synthesize")
    metrics.record("problems", problem="unauthorized")
    metrics.record("rejected", reason="unauthorized")
    metrics.record("first_audio_seconds", 0.1, route="/v1/synthesize")
    metrics.record("dry_streams", route="/v1/synthesize")
    (job := Job(1)).finish(np.zeros(256, np.float32))
    metrics.count_synthesis("m", job, preset("nvidia"))
    metrics.record("cancelled", model="m", stage="queued")
    for name in ("batch_items", "batch_frames", "out_of_memory"):
        metrics.record(name, model="m")
    metrics.count_encoding("m", "wav", 0.1, 0)
    with metrics.in_flight.track_inprogress(), metrics.streams.labels("/v1/synthesize").track_inprogress():
        pass


def expressions():
    dashboard = json.loads((DEPLOY / "grafana" / "vocoder.json").read_text(encoding="utf-8"))
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel.get("targets", []))
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["query"]
    for group in yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text(encoding="utf-8"))["groups"]:
        yield from (rule["expr"] for rule in group["rules"])
    for rule in yaml.safe_load((DEPLOY / "prometheus" / "adapter-rules.yaml").read_text(encoding="utf-8"))["rules"]:
        yield rule["seriesQuery"]


def unknown_labels(expression, labels):
    known = set.union(*(labels[name] for name in NAME.findall(expression))) | ADDED_BY_PROMETHEUS
    unknown = {label.strip() for group in re.findall(r"by \((.*?)\)", expression) for label in group.split(",")} - known
    for name, selector in re.findall(r"(vocoder_\w+)\{(.*?)\}", expression):
        unknown |= set(re.findall(r"(\w+)\s*(?:=|!)", selector)) - labels[name] - ADDED_BY_PROMETHEUS
    return unknown


def test_used_metrics_exist_and_all_metrics_are_shown():
    metrics, labels = create_app(Settings()).state.service.metrics, dict(ON_READY_MODELS)
    count_everything(metrics)
    for family in text_string_to_metric_families(generate_latest(metrics.registry).decode()):
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    named = [text for text in set(expressions()) if not text.startswith("up{")]
    assert len(named) > 40
    assert [text for text in named if not NAME.search(text)] == []
    assert {name for text in named for name in NAME.findall(text)} <= set(labels)
    assert {text: unknown for text in named if (unknown := unknown_labels(text, labels))} == {}
    shown = set(NAME.findall((DEPLOY / "grafana" / "vocoder.json").read_text(encoding="utf-8")))
    families = {re.sub(r"_(bucket|sum|count|created|total)$", "", name) for name in labels}
    assert {family for family in families if not any(name.startswith(family) for name in shown)} == set()


def test_alerts_are_tested():
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text(encoding="utf-8"))["groups"][0]["rules"]
    tests = yaml.safe_load((DEPLOY / "prometheus" / "alerts_test.yaml").read_text(encoding="utf-8"))["tests"]
    tested = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case.get("exp_alerts")}
    assert tested == {rule["alert"] for rule in rules}
    assert all(rule["annotations"]["summary"] for rule in rules)
