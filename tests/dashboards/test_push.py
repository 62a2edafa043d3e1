"""Pushing to a stand-in for Grafana's HTTP side: idempotent, careful with what people made, clear when refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from grafana_stand_in import TOKEN, StandIn

from fleetbox.errors import AccessDenied, FleetboxError, NotFound, StoreRefused, Unreachable
from fleetbox_dashboards import pushing
from fleetbox_dashboards.alerts import alerts
from fleetbox_dashboards.boards import BOARDS
from fleetbox_dashboards.changes import Found
from fleetbox_dashboards.cli import dashboards
from fleetbox_dashboards.grafana import Access, Grafana
from fleetbox_dashboards.pushing import Outcome, Wish, push

COUNT = len(BOARDS) + len(alerts())


@pytest.fixture(autouse=True)
def _source(stand_in: StandIn) -> None:
    stand_in.add_source()


def go(stand_in: StandIn, wish: Wish | None = None, token: str = TOKEN) -> Outcome:
    """Push."""
    with Grafana(Access(stand_in.url, token)) as grafana:
        return push(grafana, wish or Wish())


def actions(outcome: Outcome) -> dict[str, str]:
    """Return what happened, by uid."""
    return {change.uid: change.action for change in outcome.changes}


def test_a_first_push_makes_everything_and_a_second_nothing(stand_in: StandIn) -> None:
    """Boards, rules and folder are made; then there is nothing to write."""
    first = go(stand_in)
    assert set(actions(first).values()) == {"create"}
    assert len(stand_in.boards) == len(BOARDS)
    assert len(stand_in.rules) == len(alerts())
    assert stand_in.folders == {"fleetbox": "fleetbox"}
    assert {rule["folderUID"] for rule in stand_in.rules.values()} == {"fleetbox"}
    stand_in.asked.clear()
    second = go(stand_in)
    assert set(actions(second).values()) == {"keep"}
    assert stand_in.written == []


def test_a_dry_run_writes_nothing(stand_in: StandIn) -> None:
    """It says what would happen."""
    outcome = go(stand_in, Wish(dry_run=True))
    assert list(actions(outcome).values()) == ["create"] * COUNT
    assert stand_in.written == []


def test_a_new_build_updates_what_we_pushed(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the board that changed is written, and it says which panels differ."""
    go(stand_in)
    built = pushing.boards()
    built["fleetbox-host"]["panels"][0]["title"] = "Machines"
    monkeypatch.setattr(pushing, "boards", lambda uid: built)
    stand_in.asked.clear()
    outcome = go(stand_in)
    assert [change.uid for change in outcome.changes if change.action == "update"] == ["fleetbox-host"]
    assert next(change.differs for change in outcome.changes if change.action == "update") == ("panel 'Machines'",)
    assert stand_in.written == [("POST", "/dashboards/db")]


def test_a_board_edited_by_hand_is_shown_and_left_alone(stand_in: StandIn) -> None:
    """Drift names who saved it and what differs; --force overwrites, and the next push finds it as built."""
    go(stand_in)
    mine = json.loads(json.dumps(stand_in.boards["fleetbox-fleet"]["dashboard"]))
    mine["panels"][0]["title"] = "My robots"
    stand_in.save(mine, "I like it so", "ann")
    outcome = go(stand_in)
    drift = next(change for change in outcome.changes if change.action == "drift")
    assert drift.uid == "fleetbox-fleet"
    assert "ann" in drift.why
    assert drift.differs == ("panel 'Robots'",)
    assert stand_in.boards["fleetbox-fleet"]["dashboard"]["panels"][0]["title"] == "My robots"
    assert actions(go(stand_in, Wish(force=True)))["fleetbox-fleet"] == "update"
    assert actions(go(stand_in))["fleetbox-fleet"] == "keep"


def test_other_peoples_boards_folders_and_rules_stay(stand_in: StandIn) -> None:
    """Also those with our tag, and one of theirs with our prefix; a board moved to their folder stays there."""
    stand_in.folders["theirs"] = "Their folder"
    stand_in.save({"uid": "mine", "title": "Mine", "tags": ["fleetbox"]}, folder="theirs")
    stand_in.save({"uid": "fleetbox-mine", "title": "Mine too", "tags": []}, folder="theirs")
    stand_in.rules["theirs"] = {"uid": "theirs", "title": "Theirs", "labels": {}}
    stand_in.rules["fleetbox-theirs"] = {"uid": "fleetbox-theirs", "title": "Theirs too", "labels": {}}
    go(stand_in)
    stand_in.boards["fleetbox-books"]["meta"]["folderUid"] = "theirs"
    stand_in.boards["fleetbox-books"]["versions"][-1]["message"] = "fleetbox push older"
    assert actions(go(stand_in))["fleetbox-books"] == "update"
    assert stand_in.boards["fleetbox-books"]["meta"]["folderUid"] == "theirs"
    assert {"mine", "fleetbox-mine"} <= set(stand_in.boards)
    assert {"theirs", "fleetbox-theirs"} <= set(stand_in.rules)


def test_only_what_is_ours_and_no_longer_built_is_removed(stand_in: StandIn) -> None:
    """A board and a rule of an older fleetbox go; the one a person saved since stays."""
    go(stand_in)
    stand_in.save({"uid": "fleetbox-old", "title": "Old", "tags": ["fleetbox"]}, "fleetbox push abc")
    stand_in.save({"uid": "fleetbox-older", "title": "Older", "tags": ["fleetbox"]}, "mine now")
    rule = json.loads(json.dumps(next(iter(stand_in.rules.values()))))
    stand_in.rules["fleetbox-old"] = {**rule, "uid": "fleetbox-old"}
    outcome = go(stand_in)
    told = {(change.kind, change.uid): change.action for change in outcome.changes}
    assert told["board", "fleetbox-old"] == told["alert", "fleetbox-old"] == "remove"
    assert told["board", "fleetbox-older"] == "drift"
    assert "fleetbox-old" not in stand_in.boards
    assert "fleetbox-older" in stand_in.boards


def test_what_files_provision_is_left_to_files(stand_in: StandIn) -> None:
    """A board that Grafana has from a file is named and not written."""
    go(stand_in)
    stand_in.boards["fleetbox-host"]["meta"]["provisioned"] = True
    stand_in.boards["fleetbox-host"]["versions"][-1]["message"] = ""
    assert actions(go(stand_in, Wish(force=True)))["fleetbox-host"] == "blocked"


def test_a_folder_by_title_is_used(stand_in: StandIn) -> None:
    """A folder that people made takes the new boards; no other is made."""
    stand_in.folders["abc"] = "Robots"
    go(stand_in, Wish(folder="Robots"))
    assert {board["meta"]["folderUid"] for board in stand_in.boards.values()} == {"abc"}
    assert set(stand_in.folders) == {"abc"}


def test_no_such_data_source_is_told_with_those_there_are(stand_in: StandIn) -> None:
    """Nothing is written."""
    with pytest.raises(NotFound, match="no data source 'nope'") as caught:
        go(stand_in, Wish(datasource="nope"))
    assert "fleetbox (fleetbox)" in str(caught.value.next_step)
    assert stand_in.written == []


@pytest.mark.parametrize(
    ("source", "said"),
    [({"type": "prometheus"}, "of type 'prometheus'"), ({"jsonData": {"version": "Flux"}}, "speaks Flux")],
)
def test_a_data_source_of_another_kind_is_refused(stand_in: StandIn, source: dict[str, object], said: str) -> None:
    """The boards ask in InfluxQL."""
    stand_in.add_source("other", **source)
    with pytest.raises(FleetboxError, match=said):
        go(stand_in, Wish(datasource="other"))


def test_a_data_source_that_is_not_well_is_warned_of(stand_in: StandIn) -> None:
    """A missing bucket shows here; boards are pushed all the same."""
    stand_in.health = {"status": "ERROR", "message": "database not found: fleet"}
    outcome = go(stand_in)
    assert "database not found" in outcome.warnings[0]
    assert len(stand_in.boards) == len(BOARDS)


def test_a_token_that_may_not_see_data_sources_is_enough(stand_in: StandIn) -> None:
    """Editors often may not; the push says that it did not check."""
    stand_in.refuse["GET", "/datasources"] = 403
    assert "not checked" in go(stand_in).warnings[0]


def test_a_wrong_token_is_told(stand_in: StandIn) -> None:
    """With how to make one; exit code 5."""
    with pytest.raises(AccessDenied, match="does not take the token") as caught:
        go(stand_in, token="wrong")
    assert "role Editor" in str(caught.value.next_step)


def test_a_folder_that_may_not_be_written_is_told(stand_in: StandIn) -> None:
    """Boards and rules alike; what was done before is said."""
    stand_in.refuse["POST", "/dashboards/db"] = 403
    with pytest.raises(AccessDenied, match="does not let this token save the board"):
        go(stand_in)
    stand_in.refuse = {("POST", "/v1/provisioning"): 403}
    with pytest.raises(AccessDenied, match=f"save the rule .*{len(BOARDS)} before it are done"):
        go(stand_in)
    stand_in.refuse = {}
    assert len(go(stand_in).changes) == COUNT


def test_a_grafana_too_old_is_told(stand_in: StandIn) -> None:
    """With the version that is needed."""
    stand_in.version = "9.5.2"
    with pytest.raises(FleetboxError, match=r"is 9\.5\.2; the boards need 10\.1"):
        go(stand_in)
    assert stand_in.written == []


def test_nobody_there_is_unreachable() -> None:
    """Exit code 4."""
    with Grafana(Access("http://127.0.0.1:9", TOKEN)) as grafana, pytest.raises(Unreachable, match="does not answer"):
        push(grafana, Wish())


def test_a_board_saved_meanwhile_is_not_overwritten(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Grafana refuses our version; the next push shows the drift."""
    go(stand_in)
    stand_in.boards["fleetbox-host"]["versions"][-1]["message"] = "fleetbox push older"
    with Grafana(Access(stand_in.url, TOKEN)) as grafana:
        read = grafana.alerts

        def saved_meanwhile() -> list[Found]:
            stand_in.save({**stand_in.boards["fleetbox-host"]["dashboard"], "title": "Mine"}, "mine")
            return read()

        monkeypatch.setattr(grafana, "alerts", saved_meanwhile)
        with pytest.raises(StoreRefused, match="saved it meanwhile"):
            push(grafana, Wish())
    assert actions(go(stand_in))["fleetbox-host"] == "drift"


def run(stand_in: StandIn, *words: str, token: str = TOKEN) -> Result:
    """Run a command with the stand-in as Grafana."""
    return CliRunner().invoke(dashboards, words, env={"GRAFANA_URL": stand_in.url, "GRAFANA_TOKEN": token})


def test_the_command_tells_and_exits_3_when_something_was_left_alone(stand_in: StandIn) -> None:
    """One JSON object; drift is on stderr too."""
    assert run(stand_in, "push").exit_code == 0
    stand_in.save({**stand_in.boards["fleetbox-host"]["dashboard"], "title": "Mine"}, "mine")
    result = CliRunner().invoke(
        dashboards,
        ["push", "--json", "--url", stand_in.url],
        env={"GRAFANA_TOKEN": TOKEN},
        standalone_mode=False,
    )
    assert result.return_value == 3
    told = json.loads(result.stdout)
    assert told["schema_version"] == 1
    assert [one["uid"] for one in told["changes"] if one["action"] == "drift"] == ["fleetbox-host"]
    assert "--force" in result.stderr


def test_the_token_may_be_in_a_file(stand_in: StandIn, tmp_path: Path) -> None:
    """As services keep it; without any there is a clear word."""
    (tmp_path / "token").write_text(TOKEN + "\n")
    words = ["push", "--dry-run", "--token-file", str(tmp_path / "token")]
    assert CliRunner().invoke(dashboards, words, env={"GRAFANA_URL": stand_in.url}).exit_code == 0
    result = CliRunner().invoke(dashboards, ["push"], env={"GRAFANA_URL": stand_in.url, "GRAFANA_TOKEN": ""})
    assert isinstance(result.exception, AccessDenied)
    assert "GRAFANA_TOKEN" in str(result.exception)


def test_build_writes_and_checks(tmp_path: Path) -> None:
    """`--check` is for a pipeline: it exits 3 until the files are written."""
    words = ["build", "-o", str(tmp_path), "--json"]
    assert CliRunner().invoke(dashboards, [*words, "--check"], standalone_mode=False).return_value == 3
    assert CliRunner().invoke(dashboards, words, standalone_mode=False).return_value == 0
    assert CliRunner().invoke(dashboards, [*words, "--check"], standalone_mode=False).return_value == 0


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "here").write_text("")
    result = CliRunner().invoke(dashboards, ["build", "-o", str(tmp_path / "here" / "boards")])
    assert isinstance(result.exception, FleetboxError)
    assert "cannot write" in str(result.exception)
