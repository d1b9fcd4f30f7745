"""What watches the line: every figure that an alert or a dashboard names is there on a running system."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.models import Label, ModelVersion
from sortline.queue import Document, DocumentQueue
from sortline.redis_client import connect
from sortline.settings import Settings
from tests import loaded
from tests.conftest import environment

ROOT = Path(__file__).parents[2]
RULES = [rule for group in yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text())["groups"]
         for rule in group["rules"]]  # fmt: skip
DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in (ROOT / "deploy/grafana").glob("*.json")}
QUERIES = [
    target["expr"]
    for dashboard in DASHBOARDS.values()
    for panel in dashboard["panels"]
    for target in panel.get("targets", [])
]
PAGE = (ROOT / "docs/operators.md").read_text(encoding="utf-8")
PROCESSES = {
    "web": "web",
    "worker": "celery -A worker worker --without-gossip --without-mingle",
    "housekeeping": "celery -A housekeeping worker -Q housekeeping --pool=threads -c 1 -n housekeeping@%h",
    "beat": "celery -A housekeeping beat -s beat-schedule",
}


@pytest.fixture
def running(settings: Settings, session: Session, free_port: int, tmp_path: Path) -> Iterator[httpx.Client]:
    """Web, a worker that obeys its texts, housekeeping and beat; a client of that web."""
    labels = [Label(name="yes"), Label(name="no")]
    session.add_all(labels)
    session.flush()
    ids = [label.id for label in labels]
    session.add(
        ModelVersion(
            status="active",
            checkpoint_uri=f"faulty:{ids[0]},{ids[1]}",
            sha256="0" * 64,
            base_model="faulty",
            label_ids=ids,
        )
    )
    session.commit()
    chosen = settings.model_copy(update={"web_port": free_port, "classifier": "faulty:load"})
    paths = f"{ROOT}:{ROOT / 'tests/worker'}"
    with (tmp_path / "log").open("wb") as log:
        started = [
            loaded.start(["-m", *command.split()], tmp_path, environment(chosen, PYTHONPATH=paths), log, log)
            for command in PROCESSES.values()
        ]
        with httpx.Client(base_url=f"http://127.0.0.1:{free_port}", timeout=10) as client:
            yield client
        for process in started:
            process.terminate()
        for process in started:
            process.wait(30)


def families(web: httpx.Client) -> list[Metric]:
    try:
        return list(text_string_to_metric_families(web.get("/metrics").raise_for_status().text))
    except httpx.HTTPError:
        return []


def scraped(web: httpx.Client) -> dict[str, str]:
    """Each sample's name, and the family it is of."""
    return {
        sample.name: family.name + ("_total" if family.type == "counter" else "")
        for family in families(web)
        for sample in family.samples
    }


def total(web: httpx.Client, name: str, **labels: str) -> float:
    """Sum over the processes."""
    samples = [sample for family in families(web) for sample in family.samples]
    return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())


@pytest.mark.slow
def test_every_figure_named_is_there_and_every_figure_there_is_described(
    running: httpx.Client, settings: Settings, session: Session, eventually: Callable[..., None]
) -> None:
    queue = DocumentQueue(connect(settings.redis), settings)
    queue.append([Document("good", "a text"), Document("other", "another")])
    queue.client.xadd(settings.stream("live"), {"id": "no text"})
    expressions = [*QUERIES, *(rule["expr"] for rule in RULES)]
    named = {name for expression in expressions for name in re.findall(r"\b(?:sortline|process)_\w+", expression)}

    eventually(lambda: named <= scraped(running).keys(), 60)

    eventually(lambda: total(running, "sortline_documents_dead_total", reason="bad_entry") == 1)
    assert total(running, "sortline_documents_read_total", lane="live") == 3
    for name in ("sortline_documents_done_total", "sortline_end_to_end_seconds_count", "sortline_confidence_count"):
        assert total(running, name, lane="live") == 2
    assert total(running, "sortline_decisions_total", label="yes", decision="accept") == 2
    assert 0 < total(running, "sortline_end_to_end_seconds_sum", lane="live") < 300
    assert total(running, "sortline_dead_letters") == 1
    assert session.scalar(text("SELECT count(*) FROM predictions")) == 2
    described = {family for family in scraped(running).values() if family.startswith("sortline_")}
    assert described == set(re.findall(r"^\| `(sortline_\w+)`", PAGE, re.MULTILINE))
    roles = re.findall(r'sortline_processes\{role="(\w+)"\} 1', running.get("/metrics").text)
    assert set(roles) == set(PROCESSES)


def test_every_alert_says_where_its_cure_is_and_the_page_has_it() -> None:
    for rule in RULES:
        name = rule["alert"]
        assert rule["annotations"]["runbook_url"] == f"docs/operators.md#{name.lower()}"
        section = PAGE.partition(f"#### {name}\n")[2].partition("\n#")[0]
        for part in ("**Means:**", "**Cause:**", "**Do:**"):
            assert part in section, f"{name}: {part}"
        assert rule["annotations"]["summary"] and rule["labels"]["severity"] in {"warning", "critical"}
    assert set(re.findall(r"^#### (Sortline\w+)$", PAGE, re.MULTILINE)) == {rule["alert"] for rule in RULES}


@pytest.mark.parametrize("name", sorted(DASHBOARDS))
def test_a_dashboard_can_be_loaded(name: str) -> None:
    dashboard: dict[str, Any] = DASHBOARDS[name]
    panels = dashboard["panels"]
    assert dashboard["uid"] and dashboard["title"] and dashboard["schemaVersion"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}  # fmt: skip
        assert not taken & cells and place["x"] + place["w"] <= 24, panel["title"]
        taken |= cells
        assert panel["type"] == "row" or panel["datasource"]["uid"] == "prometheus"
    provisioned = yaml.safe_load((ROOT / "deploy/grafana/datasource.yml").read_text())["datasources"]
    assert [source["uid"] for source in provisioned] == ["prometheus"]


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("no promtool on the path (Debian: apt-get install prometheus)")
    return found


def test_the_rules_do_what_they_say(promtool: str) -> None:
    run = subprocess.run(
        [promtool, "test", "rules", "rules_test.yml"], cwd=ROOT / "deploy/prometheus", capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_prometheus_can_read_rules_configuration_and_dashboards(promtool: str, tmp_path: Path) -> None:
    configuration = (ROOT / "deploy/prometheus/prometheus.yml").read_text()
    rules = ROOT / "deploy/prometheus/rules.yml"
    (tmp_path / "prometheus.yml").write_text(configuration.replace("/etc/prometheus/rules.yml", str(rules)))
    recorded = [{"record": f"query:{i}", "expr": query} for i, query in enumerate(QUERIES)]
    (tmp_path / "queries.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": recorded}]}))

    for words in (("config", "prometheus.yml"), ("rules", "queries.yml")):
        run = subprocess.run([promtool, "check", *words], cwd=tmp_path, capture_output=True, text=True)
        assert run.returncode == 0, run.stdout + run.stderr
