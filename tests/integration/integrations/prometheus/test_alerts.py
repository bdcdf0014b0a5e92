"""The alert rules, as Prometheus itself judges them: promtool's unit tests, and a real one that scrapes a real run.

Where Prometheus is not installed (Debian: ``apt-get install prometheus``), only what needs none is tested.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from asyncflow.integrations.prometheus import MetricsServer
from tests.integration.scheduler.writing import alter, publish_many
from tests.support.application import Application
from tests.support.snippets import ROOT
from tests.unit.scheduler.waiting import eventually
from tools.services import ports

yaml: Any = import_module("yaml")  # litestar and schemathesis of the dev group bring it; it has no types
RULES, TESTS = ROOT / "docs/alerts/asyncflow.rules.yml", ROOT / "docs/alerts/asyncflow.tests.yml"
LAG = ROOT / "deploy/prometheus/lag.rules.yml"
OF_COMPOSE = ROOT / "deploy/prometheus/prometheus.yml"


def installed(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def test_of_each_alert_one_test_fires_and_one_is_quiet() -> None:
    alerts = re.findall(r"- alert: (\w+)", RULES.read_text(encoding="utf-8"))
    fired: Counter[tuple[str, bool]] = Counter()
    for case in yaml.safe_load(TESTS.read_text(encoding="utf-8"))["tests"]:
        for one in case["alert_rule_test"]:
            fired[one["alertname"], bool(one["exp_alerts"])] += 1
    assert len(alerts) >= 8
    assert {name for name in alerts if fired[name, True] and fired[name, False]} == set(alerts)


@pytest.mark.parametrize(
    "line", [["check", "rules", str(RULES), str(LAG)], ["test", "rules", str(TESTS)]], ids=" ".join
)
def test_promtool_is_content(line: list[str]) -> None:
    done = subprocess.run([installed("promtool"), *line], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_takes_the_configuration_of_compose_with_its_rules(tmp_path: Path) -> None:
    for rules in (RULES, LAG):
        shutil.copy(rules, tmp_path)
    configuration = tmp_path / "prometheus.yml"
    configuration.write_text(OF_COMPOSE.read_text(encoding="utf-8").replace("/etc/prometheus/rules", str(tmp_path)))
    line = [installed("promtool"), "check", "config", str(configuration)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("rules found") == 2


class Prometheus:
    """Scrape one target every second, with the project's rules, of which none waits."""

    def __init__(self, folder: Path, target: int) -> None:
        rules = re.sub(r"^ +for: .*\n", "", RULES.read_text(encoding="utf-8"), flags=re.MULTILINE)
        (folder / "asyncflow.rules.yml").write_text(rules, encoding="utf-8")
        configuration = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["asyncflow.rules.yml"],
            "scrape_configs": [{"job_name": "asyncflow", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration), encoding="utf-8")
        self.port = ports.choose()
        self.process = subprocess.Popen(
            [
                installed("prometheus"),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def ask(self, path: str, **query: str) -> Any:
        """Return an answer's data; None while nobody answers."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/api/v1/{path}?{urlencode(query)}", timeout=60) as answer:
                return json.load(answer)["data"]
        except OSError:
            return None

    def firing(self) -> set[str]:
        found = self.ask("alerts") or {"alerts": []}
        return {one["labels"]["alertname"] for one in found["alerts"] if one["state"] == "firing"}

    def value_of(self, expression: str) -> float | None:
        found = self.ask("query", query=expression)
        return float(found["result"][0]["value"][1]) if found and found["result"] else None


@pytest.fixture
def run(sqlite_application: Application) -> Iterator[tuple[Application, MetricsServer]]:
    installed("prometheus")
    scheduler = sqlite_application.scheduler()
    with MetricsServer(scheduler, 0) as server:
        yield sqlite_application, server
    scheduler.stop()


def test_a_real_prometheus_scrapes_a_run_and_fires_what_is_to_be_fired(
    run: tuple[Application, MetricsServer], tmp_path: Path
) -> None:
    application, server = run
    publish_many(application, 3)
    alter(application, "order_time = '2026-01-01 00:00:00.000000'")
    prometheus = Prometheus(tmp_path, server.port)
    try:
        expected = {"AsyncflowNoInstance", "AsyncflowStuck", "AsyncflowOldestDue"}
        # Each is waited for: a scrape has one second, and one that a busy machine has missed is told as well.
        eventually(lambda: expected <= prometheus.firing() <= expected | {"AsyncflowShardsUnowned"})
        eventually(lambda: (prometheus.value_of("asyncflow_oldest_due_seconds") or 0) > 3600)
        eventually(lambda: prometheus.value_of('up{job="asyncflow"}') == 1)
    finally:
        prometheus.process.terminate()
        prometheus.process.wait(60)
