"""promtool accepts configuration, rules and their tests; Prometheus understands every board."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import aio_pika
import pytest
import yaml

from kit.servers.prometheus_server import GIVEN, PrometheusServer, divided, program
from kit.waiting import eventually

HERE = Path(__file__).parent
BOARDS = sorted((GIVEN.parent / "grafana" / "boards").glob("*.json"))
WITHOUT_A_CAUSE = {"MuchIsParked"}
"""256 MiB would have to be parked. Only `rules_test.yml` shows that this alarm fires."""

OF_OTHERS = {
    "process_cpu_seconds_total",
    "process_open_fds",
    "process_resident_memory_bytes",
    "rabbitmq_detailed_queue_consumers",
    "rabbitmq_detailed_queue_messages_ready",
    "rabbitmq_detailed_queue_messages_unacked",
}


def promtool(*arguments: str) -> None:
    done = subprocess.run(
        [program("promtool"), *arguments], cwd=GIVEN, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_accepts_configuration_and_rules() -> None:
    promtool("check", "config", "prometheus.yml")


def test_each_alarm_fires_when_it_should_and_not_before() -> None:
    promtool("test", "rules", "rules_test.yml")


def test_each_alarm_is_made_to_fire_by_its_cause() -> None:
    rules = yaml.safe_load((GIVEN / "rules.yml").read_text())
    alarms = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    named = {
        name
        for file in HERE.glob("test_*.py")
        for name in re.findall(r'(?:fired_by|fires)\("(\w+)"', file.read_text())
    }
    assert alarms - named == WITHOUT_A_CAUSE
    assert named <= alarms


def test_the_times_of_the_rules_are_divided_and_nothing_else() -> None:
    rule = {"alert": "A", "expr": "increase(a_total[5m]) > 5 unless a offset 1h", "for": "1h"}
    [group] = yaml.safe_load(divided(yaml.safe_dump({"groups": [{"rules": [rule]}]})))["groups"]
    assert group["rules"] == [
        {
            "alert": "A",
            "expr": "increase(a_total[5000ms]) > 5 unless a offset 60000ms",
            "for": "1000ms",
        }
    ]


@pytest.mark.parametrize("board", BOARDS, ids=lambda path: path.stem)
def test_prometheus_understands_every_panel(prometheus: PrometheusServer, board: Path) -> None:
    for panel in json.loads(board.read_text())["panels"]:
        for target in panel.get("targets", ()):
            prometheus.query(target["expr"].replace("$__rate_interval", "1m"))


@pytest.mark.parametrize("name", sorted(OF_OTHERS))
async def test_the_metrics_of_others_are_there(
    prometheus: PrometheusServer, broker_url: str, name: str
) -> None:
    async with await aio_pika.connect(broker_url) as connection:
        channel = await connection.channel()
        await channel.declare_queue("any", exclusive=True)

        async def is_there() -> bool:
            return prometheus.query(f"count({name})") != []

        await eventually(is_there, within=30)
