"""What is deployed is what is there: files, options, metrics, and the times that a stop takes."""

from __future__ import annotations

import argparse
import configparser
import json
import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from gunicorn.config import make_settings
from prometheus_client import CollectorRegistry
from sqlalchemy import MetaData, create_engine

from asyncflow import Outbox, Scheduler
from asyncflow.cli import parser
from asyncflow.commands.diagnosis.one_process import PATIENCE_SECONDS
from asyncflow.commands.target import made_at
from asyncflow.integrations.flowsvr import command as service
from asyncflow.integrations.flowsvr.door.tokens import Tokens
from asyncflow.integrations.flowsvr.settings import ServiceSettings
from asyncflow.integrations.prometheus import OutboxCollector, PrometheusHook
from asyncflow.scheduler import SchedulerSettings
from tests.support.snippets import ROOT

yaml: Any = import_module("yaml")  # litestar and schemathesis of the dev group bring it; it has no types

DEPLOY = ROOT / "deploy"
YAMLS = sorted(path for kind in ("*.yml", "*.yaml") for path in DEPLOY.rglob(kind))
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
SHARD_COUNT = Outbox(MetaData()).shard_count
MARGIN_SECONDS = 10.0  # beside what a process takes for itself when it stops

# The keys that systemd knows, of those that a unit of ours may have.
KEYS = {
    "Unit": {"Description", "Wants", "After", "StartLimitIntervalSec"},
    "Service": {
        *("Type", "User", "Group", "WorkingDirectory", "EnvironmentFile", "ExecStart", "ExecReload"),
        *("Restart", "RestartSec", "RestartPreventExitStatus", "KillSignal", "KillMode", "TimeoutStopSec"),
        *("LimitNOFILE", "NoNewPrivileges", "ProtectSystem", "ProtectHome", "PrivateTmp", "PrivateDevices"),
    },
    "Install": {"WantedBy"},
}
DIRECTIVES = {"ARG", "FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "STOPSIGNAL", "HEALTHCHECK", "CMD"}


def documents(path: Path) -> list[Any]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def walk(node: Any) -> Iterator[Any]:
    yield node
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for child in children:
        yield from walk(child)


def unit(path: Path) -> configparser.ConfigParser:
    read = configparser.ConfigParser(interpolation=None, delimiters="=", comment_prefixes=("#",))
    read.optionxform = str  # type: ignore[assignment,method-assign]
    read.read_string(path.read_text(encoding="utf-8"))
    return read


def started_by(path: Path) -> list[str]:
    line = shlex.split(unit(path)["Service"]["ExecStart"].replace("%i", "1"))
    return ["asyncflow", *line[1:]] if line[0].endswith("/asyncflow") else line


def command_lines() -> list[list[str]]:
    """Return each command of asyncflow in the files and on the page."""
    found = [
        node
        for path in YAMLS
        for document in documents(path)
        for node in walk(document)
        if isinstance(node, list) and node[:1] == ["asyncflow"]
    ]
    found.append(of_image("CMD"))
    found += map(started_by, UNITS)
    found += [shlex.split(line, comments=True) for line in re.findall(r"^\$ (asyncflow .+)$", PAGE, re.MULTILINE)]
    return found


def of_image(directive: str) -> list[str]:
    """Return the command of a directive of the image."""
    text = re.sub(r"\\\n\s*", "", DOCKERFILE)
    (line,) = re.findall(rf"^{directive}\b.*?(\[.+\])$", text, re.MULTILINE)
    command: list[str] = json.loads(line)
    return command


def parsed(line: list[str]) -> argparse.Namespace:
    return parser().parse_args(line[1:])


def of_kind(name: str, file: str) -> Any:
    (found,) = (one for one in documents(DEPLOY / "kubernetes" / file) if one["kind"] == name)
    return found


@pytest.fixture
def there(tmp_path: Path) -> set[str]:
    """Return the names of all metrics, as Prometheus has them."""
    registry = CollectorRegistry()
    PrometheusHook(registry)
    engine, outbox = create_engine(f"sqlite:///{tmp_path / 'outbox.db'}"), Outbox(MetaData())
    outbox.tasks.metadata.create_all(engine)
    names = {family.name for family in OutboxCollector(engine, outbox).collect()}
    engine.dispose()
    for family in registry.collect():
        names |= {family.name, f"{family.name}_total"} if family.type == "counter" else {family.name}
        names |= {f"{family.name}_{end}" for end in ("bucket", "sum", "count") if family.type == "histogram"}
    return names


@pytest.fixture
def application(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Scheduler]:
    monkeypatch.setenv("ASYNCFLOW_DATABASE_URL", f"sqlite:///{tmp_path / 'app.db'}")
    monkeypatch.setenv("KAFKA_SERVERS", "127.0.0.1:1")
    monkeypatch.chdir(DEPLOY / "app")
    monkeypatch.setattr(sys, "path", [*sys.path])
    # By its own name, as the command line finds it, and not by what another test may have imported.
    monkeypatch.delitem(sys.modules, "app", raising=False)
    scheduler = made_at("app:scheduler", Scheduler, "a Scheduler")
    yield scheduler
    scheduler.engine.dispose()
    sys.modules.pop("app", None)


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_yaml_file_can_be_read(path: Path) -> None:
    assert documents(path)
    assert all(isinstance(document, dict) for document in documents(path))


def test_every_command_is_one_that_our_parser_takes() -> None:
    lines = command_lines()
    assert {line[1] for line in lines} >= {"run", "serve", "init-db"}
    for line in lines:
        options = parsed(line)
        if line[1] == "serve":
            service.settings_of(options)


def test_whoever_stops_a_process_waits_longer_than_the_process_does() -> None:
    # The service may take its time thrice: for requests, for holds, for the monitor.
    scheduler, tasks = SchedulerSettings().stop_timeout_seconds, 3 * ServiceSettings().stop_timeout_seconds
    compose = documents(DEPLOY / "compose.yaml")[0]["services"]
    pods = {
        name: of_kind("Deployment", f"{name}.yaml")["spec"]["template"]["spec"]
        for name in ("scheduler", "task-service")
    }
    (before,) = re.findall(r"\d+", str(pods["task-service"]["containers"][0]["lifecycle"]["preStop"]))
    waits = [
        (scheduler, int(compose["scheduler"]["stop_grace_period"].removesuffix("s"))),
        (tasks, int(compose["task-service"]["stop_grace_period"].removesuffix("s"))),
        (scheduler, pods["scheduler"]["terminationGracePeriodSeconds"]),
        (tasks + int(before), pods["task-service"]["terminationGracePeriodSeconds"]),
        (scheduler, int(unit(DEPLOY / "systemd/asyncflow-scheduler@.service")["Service"]["TimeoutStopSec"])),
        (tasks, int(unit(DEPLOY / "systemd/asyncflow-task-service.service")["Service"]["TimeoutStopSec"])),
    ]
    assert [pair for pair in waits if pair[1] < pair[0] + MARGIN_SECONDS] == []


def test_every_metric_that_prometheus_and_grafana_ask_for_is_there(there: set[str]) -> None:
    rules = documents(DEPLOY / "prometheus/lag.rules.yml")[0]["groups"][0]["rules"]
    board = json.loads((DEPLOY / "grafana/dashboards/asyncflow.json").read_text(encoding="utf-8"))
    asked = [rule["expr"] for rule in rules]
    asked += [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    named = {name for expression in asked for name in re.findall(r"\basyncflow_\w+", expression)}
    assert len(named) >= 8
    assert named <= there


def test_the_autoscaler_asks_for_what_the_adapter_makes_of_the_recorded_rule() -> None:
    (rule,) = documents(DEPLOY / "prometheus/lag.rules.yml")[0]["groups"][0]["rules"]
    (made,) = documents(DEPLOY / "kubernetes/prometheus-adapter.values.yaml")[0]["rules"]["external"]
    scaler = of_kind("HorizontalPodAutoscaler", "scaling.yaml")["spec"]
    assert made["seriesQuery"] == rule["record"]
    assert [one["external"]["metric"]["name"] for one in scaler["metrics"]] == [made["name"]["as"]]
    assert scaler["scaleTargetRef"]["name"] == of_kind("Deployment", "scheduler.yaml")["metadata"]["name"]
    assert "replicas" not in of_kind("Deployment", "scheduler.yaml")["spec"]
    assert scaler["maxReplicas"] <= SHARD_COUNT


def test_prometheus_scrapes_the_port_that_the_schedulers_serve() -> None:
    (job,) = documents(DEPLOY / "prometheus/prometheus.yml")[0]["scrape_configs"]
    (place,) = job["dns_sd_configs"]
    (name,) = place["names"]
    run = parsed(documents(DEPLOY / "compose.yaml")[0]["services"][name]["command"])
    assert (run.metrics_port, run.metrics_host) == (place["port"], "0.0.0.0")
    pod = of_kind("Deployment", "scheduler.yaml")["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    assert parsed(container["command"]).metrics_port == container["ports"][0]["containerPort"]
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == str(container["ports"][0]["containerPort"])


@pytest.mark.parametrize("name", ["scheduler", "task-service"])
def test_a_pod_has_probes_of_ports_that_it_has_and_is_not_root(name: str) -> None:
    deployment = of_kind("Deployment", f"{name}.yaml")
    pod = deployment["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    ports = {port["name"] for port in container["ports"]}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        (asked,) = (container[probe][kind] for kind in ("httpGet", "tcpSocket") if kind in container[probe])
        assert asked["port"] in ports
    assert "doctor" not in str(container["livenessProbe"])
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    labels = pod["metadata"]["labels"].items()
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels
    assert of_kind("PodDisruptionBudget", f"{name}.yaml")["spec"]["selector"]["matchLabels"].items() <= labels


def test_whatever_runs_a_scheduler_is_asked_at_the_health_port_that_it_serves() -> None:
    image, compose = parsed(of_image("CMD")), documents(DEPLOY / "compose.yaml")[0]["services"]["scheduler"]
    check = of_image("HEALTHCHECK")
    assert (check[1], parsed(check).process) == ("doctor", f"http://127.0.0.1:{image.health_port}")
    assert parsed(compose["command"]).health_port == image.health_port
    assert "healthcheck" not in compose
    (container,) = of_kind("Deployment", "scheduler.yaml")["spec"]["template"]["spec"]["containers"]
    run = parsed(container["command"])
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert (ports["health"], run.health_host) == (run.health_port, "0.0.0.0")
    assert {probe: container[probe]["httpGet"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")} == {
        "startupProbe": {"path": "/healthz", "port": "health"},
        "livenessProbe": {"path": "/healthz", "port": "health"},
        "readinessProbe": {"path": "/readyz", "port": "health"},
    }
    of_unit = parsed(started_by(DEPLOY / "systemd/asyncflow-scheduler@.service"))
    assert of_unit.health_port not in (None, of_unit.metrics_port)


def test_an_image_whose_command_is_another_has_a_health_check_of_its_own() -> None:
    services = documents(DEPLOY / "compose.yaml")[0]["services"]
    ours = {name: one for name, one in services.items() if one.get("image") == "asyncflow"}
    assert ours.keys() >= {"tables", "scheduler", "task-service"}
    for name, one in ours.items():
        if getattr(parsed(one["command"]), "health_port", None) is None:
            assert "healthcheck" in one, name
    served = parsed(services["task-service"]["command"]).port
    check = services["task-service"]["healthcheck"]["test"]
    assert (check[0], parsed(check[1:]).process) == ("CMD", f"http://127.0.0.1:{served}")


def test_a_health_check_has_more_time_than_its_question() -> None:
    check = documents(DEPLOY / "compose.yaml")[0]["services"]["task-service"]["healthcheck"]
    (of_the_image,) = re.findall(r"^HEALTHCHECK .*--timeout=(\d+)s", DOCKERFILE, re.MULTILINE)
    a_start_seconds = 5  # of an interpreter, with all that is imported, on a small share of a core
    for given in (int(of_the_image), int(check["timeout"].removesuffix("s"))):
        assert given >= PATIENCE_SECONDS + a_start_seconds


def test_probes_of_the_task_service_ask_for_its_routes() -> None:
    (container,) = of_kind("Deployment", "task-service.yaml")["spec"]["template"]["spec"]["containers"]
    asked = [container[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")]
    assert asked == ["/healthz", "/healthz", "/readyz"]
    code = (ROOT / "asyncflow/integrations/flowsvr/routes/health.py").read_text(encoding="utf-8")
    assert all(f'"{path}"' in code for path in asked)


def test_the_kustomization_names_files_and_images_that_are_there() -> None:
    (kustomization,) = documents(DEPLOY / "kubernetes/kustomization.yaml")
    assert [name for name in kustomization["resources"] if not (DEPLOY / "kubernetes" / name).is_file()] == []
    used = {node["image"] for name in kustomization["resources"] for one in documents(DEPLOY / "kubernetes" / name)
            for node in walk(one) if isinstance(node, dict) and "image" in node}  # fmt: skip
    assert used == {image["name"] for image in kustomization["images"]}


def test_the_secret_has_the_keys_that_are_asked_for_and_tokens_that_can_be_read() -> None:
    secret = of_kind("Secret", "secret.example.yaml")
    keys = set(secret["stringData"])
    manifests = [*(DEPLOY / "kubernetes").glob("*.yaml")]
    nodes = [node for path in manifests for one in documents(path) for node in walk(one) if isinstance(node, dict)]
    asked = {node["secretKeyRef"]["key"] for node in nodes if "secretKeyRef" in node}
    asked |= {item["key"] for node in nodes if "secretName" in node for item in node["items"]}
    assert asked == keys
    assert Tokens.from_toml(secret["stringData"]["tokens.toml"], "the secret").find("change-this-token")


def test_compose_asks_for_variables_that_the_example_has_and_mounts_what_is_there() -> None:
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    given = dict(re.findall(r"^(\w+)=(.*)$", (DEPLOY / ".env.example").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"\$\{(\w+)", text)) == set(given)
    assert Tokens.from_toml(given["ASYNCFLOW_TOKENS"].strip("'"), "the example").find("change-this-token")
    places = re.findall(r"^\s+- (\.[\w./-]*):/", text, re.MULTILINE)
    assert len(places) >= 5
    assert [place for place in places if not (DEPLOY / place).exists()] == []
    services = documents(DEPLOY / "compose.yaml")[0]["services"]
    assert {name: services[name]["deploy"]["replicas"] for name in ("scheduler", "task-service")} == {
        "scheduler": 3,
        "task-service": 3,
    }


def test_the_image_is_not_roots_and_copies_what_is_there() -> None:
    lines = re.findall(r"^([A-Z]+) (.*)$", re.sub(r"\\\n\s*", "", DOCKERFILE), re.MULTILINE)
    assert {name for name, _ in lines} <= DIRECTIVES
    (user,) = (rest for name, rest in lines if name == "USER")
    assert not re.match(r"(root|0)\b", user)
    last_stage = [name for name, _ in lines][::-1]
    assert last_stage.index("USER") < last_stage.index("FROM")
    copied = [word for name, rest in lines if name == "COPY" and "--from" not in rest for word in rest.split()[:-1]]
    assert len(copied) >= 5
    assert [name for name in copied if not (ROOT / name).exists()] == []
    kept = re.findall(r"^!(.+)$", (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    assert {Path(name).name for name in copied} == set(kept)


def test_the_extras_of_the_image_are_those_of_the_package() -> None:
    (extras,) = re.findall(r"^ARG EXTRAS=(.+)$", DOCKERFILE, re.MULTILINE)
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert [name for name in extras.split(",") if not re.search(rf"^{name} = \[", project, re.MULTILINE)] == []


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_has_keys_that_systemd_knows_and_stops_by_the_signal_that_we_hear(path: Path) -> None:
    read = unit(path)
    assert set(read.sections()) == set(KEYS)
    assert {name: set(read[name]) - KEYS[name] for name in KEYS} == {name: set() for name in KEYS}
    main = read["Service"]
    assert (main["Type"], main["Restart"], main["KillSignal"]) == ("exec", "on-failure", "SIGTERM")
    assert main["User"] != "root"


def test_the_application_of_compose_can_be_loaded_and_has_room_in_its_pool(application: Scheduler) -> None:
    assert set(application.outbox.task_types) == {"user.registered"}
    assert set(application.outbox.handler_types) == {"mail.welcome"}
    source = (DEPLOY / "app" / "app.py").read_text(encoding="utf-8")
    (size,), (more,) = re.findall(r"pool_size=(\d+)", source), re.findall(r"max_overflow=(\d+)", source)
    assert int(size) + int(more) >= 8 + 2 * len(application.relay_runners)


def test_the_file_for_gunicorn_has_settings_that_gunicorn_knows(application: Scheduler) -> None:
    set_there = {
        name: value
        for name, value in runpy.run_path(str(DEPLOY / "gunicorn.conf.py")).items()
        if not name.startswith("_") and name not in {"Any", "scheduler"}
    }
    assert set_there.keys() <= make_settings().keys()
    assert set_there.keys() >= {"post_worker_init", "worker_exit", "preload_app"}
    assert set_there["graceful_timeout"] >= application.settings.stop_timeout_seconds + MARGIN_SECONDS


def test_the_page_names_every_file() -> None:
    files = [path.name for path in DEPLOY.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert [name for name in files if name not in PAGE] == []
