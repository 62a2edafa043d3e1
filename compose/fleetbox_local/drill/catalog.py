"""Every scenario of the drill: the fault matrix, row by row."""

from __future__ import annotations

from collections.abc import Sequence

from fleetbox.errors import InputError
from fleetbox_local.drill.faults import answers, crashes, destination, labels, memory, network, robot, scalars
from fleetbox_local.drill.scenario import Scenario
from fleetbox_local.drill.setting import PROXIED, RING, Setting

PROFILES = ("quick", "full")
SHORT_LOG = Setting(robot_env=(("RS_REPLICATION_LOG_SIZE", "20"),))  # transactions; a stream writes 20 a second
EDGE_DISK = Setting(edge_disk_bytes=48_000_000)  # three classes' first blocks and some hundred pictures
ROBOT_DISK = Setting(robot_disk_bytes=48_000_000)
SMALL_RING = Setting(
    ring=RING.replace('media = "400 MB"', 'media = "6 MB"').replace('kept = "200 MB"', 'kept = "2 MB"'), rate_hz=300.0
)
WITH_INFLUX = Setting(influx=True)

_DESTINATION = (
    Scenario(
        "quota", "destination", "two of its buckets at the edge reach a HARD quota", "the quota is lifted",
        destination.quota, words=r"edge refuses .*\(400|quota", quick=True,
    ),
    Scenario(
        "disk-full", "destination", "the edge's disk is full (507)", "room is made", destination.disk_full,
        words=r"507|disk space|disk full|no space", setting=EDGE_DISK,
    ),
    Scenario(
        "token", "destination", "the robot's token at the edge is revoked", "a new one is put in its place",
        destination.token_revoked, words=r"edge refuses .*\(40[13]|token", quick=True,
    ),
    Scenario(
        "bucket-deleted", "destination", "one of its buckets at the edge is deleted, with what was in it",
        "it is made again, empty", destination.bucket_deleted, words=r"edge refuses .*\(404|bucket",
        before=160,  # several pictures are there by then, vouched for by the relay: they must come again
    ),
)  # fmt: skip
_ANSWERS = tuple(
    Scenario(
        f"answer-{status}", "answers", f"a proxy before the edge answers writes with {status}", "it passes them on",
        answers.refusing(status), words=rf"\b{status}\b", setting=PROXIED, quick=status in (422, 500),
    )
    for status in (403, 404, 413, 422, 500)
)  # fmt: skip
_NETWORK = (
    Scenario("resets", "network", "the connection is reset in mid-request, 20 times in a row", "it holds",
             network.resets(20), during=20, quick=True),
    Scenario("resets-200", "network", "the connection is reset in mid-request, 200 times in a row", "it holds",
             network.resets(200), during=20),
    Scenario("black-hole", "network", "the link swallows everything in silence", "it passes again",
             network.black_hole, words="behind|does not answer|no answer|unreachable|not reachable"),
    Scenario("slow-link", "network", "200 ms round trip and 2 % loss (stalls of a retransmission)", "a good link",
             network.slow(200.0, 0.02), during=400),
)  # fmt: skip
_CRASHES = (
    Scenario("edge-killed", "crashes", "the edge's store is killed while it receives", "it starts again",
             crashes.edge, words="edge unreachable|nothing answers", quick=True),
    Scenario("edge-killed-5", "crashes", "the edge's store is killed five times while it receives", "it stays up",
             crashes.edge_often(5), during=20),
    Scenario("robot-store-killed", "crashes", "the robot's store is killed while it is written to", "it starts again",
             crashes.robot_store, words="r1 unreachable|nothing answers"),
    Scenario("agent-killed", "crashes", "the robot's agent and program are killed", "they start again",
             crashes.agent, words="no agent|duties", quick=True),
    Scenario("all-killed", "crashes", "edge, robot store and agent are killed at once", "they start again",
             crashes.all_three, words="unreachable"),
)  # fmt: skip
_MEMORY = (
    Scenario("log-deleted", "memory", "the link is cut, the robot's store killed, its replication logs deleted",
             "it starts again, the link is joined", memory.deleted),
    Scenario("log-corrupted", "memory", "the same with the logs corrupted on disk",
             "it starts again, the link is joined", memory.corrupted),
    Scenario("log-overflow", "memory", "an outage longer than the engine's log of 20 transactions",
             "the link is joined", memory.overflowing, setting=SHORT_LOG, during=400),
)  # fmt: skip
_ROBOT = (
    Scenario("ring-overtakes", "robot", "the ring turns over what an outage holds back, with an event marked",
             "the link is joined; what the guard saved arrives", robot.overtaken, words=r"overwritten|kept is full",
             setting=SMALL_RING, during=3_000, loses=True),
    Scenario("clock-jumps", "robot", "the robot's clock is set a day ahead, then a day behind", "it is right again",
             robot.clock_jumps),
    Scenario("same-time", "robot", "two recorders log in one stream at the same times", "-", robot.same_time_twice),
    Scenario("robot-disk-full", "robot", "the disk of the robot's store is full", "room is made",
             robot.disk_full, words=r"disk|no space|507|spool", setting=ROBOT_DISK),
)  # fmt: skip
_LABELS = (
    Scenario("patched-twice", "labels", "the link is cut and a foreign tool patches waiting labels twice",
             "the link is joined", labels.patched_twice),
    Scenario("two-marks", "labels", "the link is cut and two events are marked at once over the same seconds",
             "the link is joined", labels.marked_twice, quick=True),
    Scenario("before-task", "labels", "records and attachments are written before their task exists",
             "the agent makes the tasks", labels.before_their_task),
)  # fmt: skip
_SCALARS = (
    Scenario("influx-away", "scalars", "the edge's InfluxDB is down for the whole run", "it starts again",
             scalars.influx_away, words="influx", setting=WITH_INFLUX),
)  # fmt: skip

SCENARIOS = (*_DESTINATION, *_ANSWERS, *_NETWORK, *_CRASHES, *_MEMORY, *_ROBOT, *_LABELS, *_SCALARS)
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


def choose(profile: str) -> list[Scenario]:
    """Return the scenarios of a profile, or those named, in the order that lets neighbours share a scene.

    Raises InputError for a name that nothing has.
    """
    if profile in PROFILES:
        chosen: Sequence[Scenario] = [one for one in SCENARIOS if profile == "full" or one.quick]
    else:
        names = [name.strip() for name in profile.split(",") if name.strip()]
        unknown = [name for name in names if name not in BY_NAME]
        if unknown or not names:
            raise InputError(
                f"no drill is called {', '.join(unknown) or 'nothing'}", "see their names: fleetbox drill --list"
            )
        chosen = [BY_NAME[name] for name in names]
    order = list(dict.fromkeys(scenario.setting for scenario in chosen))
    return sorted(chosen, key=lambda scenario: order.index(scenario.setting))
