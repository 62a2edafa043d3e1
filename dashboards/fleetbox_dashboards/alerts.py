"""Alert rules: what somebody should be told of without looking at a board.

Nothing in a rule has a `$`: files that Grafana provisions from would have it filled in from the environment, the HTTP
API would not, and both get the same rules from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from grafana_foundation_sdk.builders import alerting, expr
from grafana_foundation_sdk.models.alerting import RelativeTimeRange
from grafana_foundation_sdk.models.expr import (
    ExprTypeThresholdConditions,
    ExprTypeThresholdConditionsEvaluator,
)

from fleetbox.measurements import DEAD_LETTERS, ROBOTS, STREAMS
from fleetbox_dashboards.boards.frame import PREFIX, uid
from fleetbox_dashboards.influxql import Built, InfluxQL
from fleetbox_dashboards.limits import BELOW_EXPECT, HELD_H, SILENT_S

GROUP = "fleetbox"
INTERVAL_S = 60  # s between evaluations: the ledger tells by the minute
EXPRESSION = "__expr__"  # what Grafana calls its own expressions as a data source
LABEL = "fleetbox"  # label of every rule of ours, for notification policies


@dataclass(frozen=True, slots=True)
class Alert:
    """Hold a rule: the numbers it watches per robot, and when they are bad.

    `influxql` has one column and tags by which alerts are told apart; it looks back `back_s` by itself.
    """

    name: str
    title: str
    summary: str
    influxql: str
    back_s: int
    bad: Literal["gt", "lt"]
    limit: float
    for_s: int
    severity: Literal["warning", "critical"]
    board: str
    next_step: str
    no_data: Literal["NoData", "OK"] = "OK"  # OK: no rows means that nothing is bad


def alerts() -> tuple[Alert, ...]:
    """Return every rule."""
    who = "{{ .Labels.robot }}"
    per_robot = 'GROUP BY "robot", "site"'
    return (
        Alert(
            "robot-silent",
            "Robot silent",
            f"{who} has told nothing for more than {SILENT_S:.0f} s",
            f'SELECT last("age_s") FROM "{ROBOTS.name}" WHERE time > now() - 10m {per_robot}',
            600,
            "gt",
            SILENT_S,
            120,
            "warning",
            "robot",
            f"fleetbox status {who}",
            "NoData",  # no robot at all: the site itself does not tell any more
        ),
        Alert(
            "hours-held",
            "Ring holds too few hours",
            f"the ring of {who} holds less than {HELD_H:.0f} h: what is not asked for by then is let go",
            f'SELECT last("held_h") FROM "{ROBOTS.name}" WHERE time > now() - 10m {per_robot}',
            600,
            "lt",
            HELD_H,
            900,
            "warning",
            "robot",
            f"fleetbox status {who}",
        ),
        Alert(
            "lost",
            "Records lost or unexplained",
            f"{{{{ .Values.B }}}} records of {who} of the last day are lost or unexplained; what is brought again, by "
            "`carry` or `replicate repair`, ends it within minutes, what is gone for good ends it a day later",
            # What its site counts itself: the books of a day of 2,000 robots are 90 million points.
            f'SELECT last("lost") + last("unexplained") FROM "{ROBOTS.name}" WHERE time > now() - 1h {per_robot}',
            3600,  # s; a site that is restarted meanwhile must not end the alert
            "gt",
            0,
            300,  # the pages of two places about one minute come minutes apart
            "critical",
            "books",
            f"fleetbox audit '{who}/**' --last 24h names the streams and why; fleetbox replicate repair '{who}/**'",
        ),
        Alert(
            "dead-letters",
            "Dead letters",
            f"records of {who} wait as dead letters: {{{{ .Labels.reason }}}}",
            f'SELECT last("letters") FROM "{DEAD_LETTERS.name}" WHERE time > now() - 10m '
            'GROUP BY "robot", "site", "reason"',
            600,
            "gt",
            0,
            60,
            "warning",
            "books",
            "fleetbox replicate dead-letters",
        ),
        Alert(
            "below-expect",
            "Stream below what is expected",
            f"{who}/{{{{ .Labels.stream }}}} comes at less than {BELOW_EXPECT:.0%} of the expected rate",
            # Only those that are bad: a fleet has 62,000 streams, and an alert keeps a state for each row.
            'SELECT "share" FROM (SELECT last("hz") / last("expect_hz") AS "share" '
            f'FROM "{STREAMS.name}" WHERE time > now() - 10m GROUP BY "robot", "site", "stream") '
            f'WHERE time > now() - 10m AND "share" < {BELOW_EXPECT} GROUP BY "robot", "site", "stream"',
            600,
            "lt",
            BELOW_EXPECT,
            300,
            "warning",
            "robot",
            f"fleetbox doctor {who}",
        ),
    )


def rule(alert: Alert, datasource_uid: str, folder_uid: str) -> alerting.Rule:
    """Return a rule as Grafana stores it."""
    query = InfluxQL(alert.influxql, "time_series", datasource=None)
    worst = expr.TypeReduce().ref_id("B").expression("A").reducer("last")
    return (
        alerting.Rule(alert.title)
        .uid(PREFIX + alert.name)
        .folder_uid(folder_uid)
        .rule_group(GROUP)
        .condition("C")
        .queries(
            [
                _query("A", datasource_uid, query, alert.back_s),
                _query("B", EXPRESSION, worst.build(), 0),
                _query("C", EXPRESSION, _threshold(alert), 0),
            ]
        )
        .for_val(f"{alert.for_s // 60}m")
        .no_data_state(alert.no_data)
        .exec_err_state("Error")
        .labels({LABEL: alert.name, "severity": alert.severity})
        .annotations(
            {
                "summary": alert.summary,
                "next": alert.next_step,
                "__dashboardUid__": uid(alert.board),
                "__panelId__": "1",
            }
        )
    )


def _query(ref: str, datasource_uid: str, query: object, back_s: int) -> alerting.Query:
    found = alerting.Query(ref).datasource_uid(datasource_uid).query_type("")
    found.model(Built(query))  # type: ignore[arg-type]
    return found.relative_time_range(RelativeTimeRange(back_s, 0))


def _threshold(alert: Alert) -> object:
    evaluator = ExprTypeThresholdConditionsEvaluator([alert.limit], alert.bad)
    condition = ExprTypeThresholdConditions(evaluator)
    found = expr.TypeThreshold().ref_id("C").expression("B").build()
    found.conditions = [condition]
    return found
