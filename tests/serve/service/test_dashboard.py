"""The Grafana dashboard asks for what `/metrics` tells, by its names and labels, and for nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from stillwatch.data.configuration import parse_config
from stillwatch.model.bundle import Bundle
from stillwatch.serve.service.app import build_app
from stillwatch.serve.service.scoring import build_service
from stillwatch.serve.service.settings import ServeConfig

WORDS = {"sum", "by", "rate", "increase", "histogram_quantile"}


def test_every_metric_and_label_of_the_dashboard_is_told_by_the_service(repository: Path, tiny_bundle: Bundle) -> None:
    service = build_service(parse_config(ServeConfig, {"bundle": tiny_bundle.folder}, "settings", []))
    service.warm_up()
    with TestClient(build_app(service)) as client:
        body = {"messages": [{"role": "user", "content": "hello"}]}
        client.post("/v1/score", json=body)
        client.post("/v1/score", json={})
        service.metrics.reloads.labels("bundle", "taken").inc()
        text = client.get("/metrics").text
    service.close()
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    dashboard = json.loads((repository / "configs/grafana.json").read_text())
    targets = [target for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(targets) > 20
    for target in targets:
        plain = re.sub(r'"[^"]*"|\[[^\]]*\]', "", target["expr"])
        asked = {
            name
            for part in re.findall(r"by \(([^)]*)\)|\{([^}]*)\}", plain)
            for name in re.findall(r"\w+", "".join(part))
        }
        names = set(re.findall(r"[a-z_]\w+", re.sub(r"by \([^)]*\)|\{[^}]*\}", "", plain))) - WORDS
        assert names, target
        assert names <= labels.keys(), target
        shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        assert asked | shown <= set.union(*(labels[name] for name in names)), target
    assert [panel["id"] for panel in dashboard["panels"]] == list(range(1, len(dashboard["panels"]) + 1))
    assert dashboard["title"] == "Stillwatch"
