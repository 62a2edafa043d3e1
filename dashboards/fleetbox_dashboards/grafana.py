"""The one door to a Grafana: what push needs of its HTTP API, its refusals said in our words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import niquests.exceptions
from grafana_client.api import GrafanaApi
from grafana_client.client import GrafanaClientError, GrafanaException, GrafanaTimeoutError

from fleetbox.errors import AccessDenied, FleetboxError, InputError, NotFound, StoreRefused, Unreachable
from fleetbox_dashboards.alerts import LABEL
from fleetbox_dashboards.boards import PREFIX, TAG
from fleetbox_dashboards.changes import Found, Wanted
from fleetbox_dashboards.influxql import DATASOURCE_TYPE
from fleetbox_dashboards.provisioning import MINIMUM

TIMEOUT_S = 20.0  # a Grafana that has just started migrates its database first
MESSAGE = "fleetbox push "  # begins the message of each version that we save; the board's print follows
PRINT = "fleetbox_print"  # annotation of each rule of ours
MOST = 5000  # boards in one answer of the search
EDITOR = "make a service account with the role Editor in Grafana and set GRAFANA_TOKEN to its token"


@dataclass(frozen=True, slots=True)
class Access:
    """Say where a Grafana is and who we are there."""

    url: str
    token: str


class Grafana:
    """Reach a Grafana. Use as a context manager.

    Every call raises Unreachable when nothing answers, AccessDenied when the token will not do, NotFound, and
    StoreRefused with Grafana's words for any other refusal.
    """

    def __init__(self, access: Access) -> None:
        if not re.match(r"https?://[^/]", access.url):
            raise InputError(f"{access.url!r} is no URL of a Grafana", "name one: --url https://grafana.example.net")
        self._url = access.url.rstrip("/")
        self._api = GrafanaApi.from_url(self._url, access.token, timeout=TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._api.client.s.close()

    def version(self) -> str:
        """Return the version; raise FleetboxError when it is too old for the boards."""
        with self._said("ask for its version"):
            told = self._api.client.GET("/health")  # needs no token: a wrong one is told by what follows
        version = str(told.get("version", "")) if isinstance(told, dict) else ""
        numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
        if not numbers:
            raise StoreRefused(f"{self._url} does not answer like a Grafana", 200, "check --url or GRAFANA_URL")
        if numbers < MINIMUM:
            least = ".".join(map(str, MINIMUM))
            raise FleetboxError(
                f"Grafana at {self._url} is {version}; the boards need {least}", f"update Grafana to {least} or newer"
            )
        return version

    def datasource(self, uid: str) -> list[str]:
        """Check a data source; return what to warn of. Raises NotFound and FleetboxError when it cannot be used."""
        try:
            with self._said(f"look for the data source {uid}"):
                told = self._api.datasource.get_datasource_by_uid(uid)
        except AccessDenied as error:
            if "does not take the token" in error.message:
                raise
            return [f"the token may not see data sources, so {uid!r} is not checked"]
        except NotFound:
            raise NotFound(f"Grafana at {self._url} has no data source {uid!r}", self._known()) from None
        self._check_language(uid, told)
        return self._unwell(uid)

    def put_datasource(self, wanted: Mapping[str, Any], *, force: bool, dry_run: bool) -> str:
        """Make a data source or bring it up to date; return `create`, `update`, `keep` or `drift`."""
        uid = wanted["uid"]
        try:
            with self._said(f"look for the data source {uid}"):
                told = self._api.datasource.get_datasource_by_uid(uid)
        except NotFound:
            if not dry_run:
                with self._said("make a data source", "its service account needs the role Admin for data sources"):
                    self._api.datasource.create_datasource(dict(wanted))
            return "create"
        if _same(wanted, told):
            return "keep"
        if told.get("readOnly") or not force:
            return "drift"
        if not dry_run:
            with self._said("change the data source", "its service account needs the role Admin for data sources"):
                self._api.datasource.update_datasource_by_uid(uid, dict(wanted))
        return "update"

    def folder(self, title: str, uid: str) -> str | None:
        """Return the uid of a folder with this title or uid, None when there is none."""
        with self._said("list folders"):
            folders = self._api.folder.get_all_folders()
        named = [one["uid"] for one in folders if one["title"] == title or one["uid"] == uid]
        return str(named[0]) if named else None

    def make_folder(self, title: str, uid: str) -> str:
        """Make a folder and return its uid."""
        with self._said(f"make the folder {title!r}", EDITOR):
            return str(self._api.folder.create_folder(title, uid=uid)["uid"])

    def boards(self, uids: Iterator[str]) -> list[Found]:
        """Return the boards that have our tag and prefix, and those of the given uids."""
        with self._said("search boards"):
            tagged = self._api.search.search_dashboards(tag=TAG, type_="dash-db", limit=MOST)
        names = dict.fromkeys([*uids, *(one["uid"] for one in tagged if one["uid"].startswith(PREFIX))])
        return [found for name in names if (found := self._board(name))]

    def alerts(self) -> list[Found]:
        """Return the alert rules that have our label and prefix."""
        with self._said("list alert rules"):
            rules = self._api.alertingprovisioning.get_alertrules_all() or []
        return [_rule(one) for one in rules if one["uid"].startswith(PREFIX)]

    def save_board(self, wanted: Wanted, there: Found | None, folder_uid: str, *, force: bool) -> None:
        """Save a board where it is, a new one in the folder. A board saved by somebody meanwhile is refused."""
        body = {
            "dashboard": {**wanted.document, **({"version": there.version} if there else {})},
            "folderUid": there.folder_uid if there else folder_uid,
            "message": MESSAGE + wanted.print,
            "overwrite": force,
        }
        with self._said(f"save the board {wanted.title!r}", f"may the token write in this folder? {EDITOR}"):
            self._api.dashboard.update_dashboard(body)

    def save_alert(self, wanted: Wanted, there: Found | None, folder_uid: str) -> None:
        """Save a rule. It carries its print; Grafana lets nobody edit it by hand then."""
        annotations = {**wanted.document["annotations"], PRINT: wanted.print}
        body = {**wanted.document, "annotations": annotations, "folderUID": folder_uid, "orgID": 1}
        with self._said(f"save the rule {wanted.title!r}", f"alert rules too need a folder it may write in. {EDITOR}"):
            if there is None:
                self._api.alertingprovisioning.create_alertrule(body)
            else:
                self._api.alertingprovisioning.update_alertrule(wanted.uid, body)

    def remove(self, kind: str, uid: str) -> None:
        """Remove a board or a rule."""
        with self._said(f"remove the {kind} {uid}", EDITOR):
            if kind == "board":
                self._api.dashboard.delete_dashboard(uid)
            else:
                self._api.alertingprovisioning.delete_alertrule(uid)

    def run(self, datasource_uid: str, influxql: str, start_ms: int, stop_ms: int) -> list[Mapping[str, Any]]:
        """Run a query through Grafana and return its frames."""
        query = {
            "refId": "A",
            "datasource": {"type": DATASOURCE_TYPE, "uid": datasource_uid},
            "query": influxql,
            "rawQuery": True,
            "resultFormat": "table",
        }
        body = {"queries": [query], "from": str(start_ms), "to": str(stop_ms)}
        with self._said("run a query"):
            told = self._api.client.POST("/ds/query", json=body)
        result = told["results"]["A"]
        if "error" in result:
            raise StoreRefused(f"Grafana refused {influxql!r}: {result['error']}", 400)
        return list(result.get("frames", ()))

    def _board(self, uid: str) -> Found | None:
        try:
            with self._said(f"read the board {uid}"):
                told = self._api.dashboard.get_dashboard(uid)
        except NotFound:
            return None
        board, meta = told["dashboard"], told["meta"]
        newest = self._newest_version(uid)
        message = str(newest.get("message") or "")
        return Found(
            "board",
            uid,
            board.get("title", ""),
            TAG in (board.get("tags") or ()) and uid.startswith(PREFIX),
            message.removeprefix(MESSAGE) if message.startswith(MESSAGE) else None,
            bool(meta.get("provisioned")),
            _by(newest.get("createdBy") or meta.get("updatedBy"), newest.get("created") or meta.get("updated")),
            int(board.get("version") or 0),
            str(meta.get("folderUid") or ""),
            board,
        )

    def _newest_version(self, uid: str) -> Mapping[str, Any]:
        with self._said(f"read the versions of the board {uid}", EDITOR):
            told = self._api.dashboard_versions.get_dashboard_versions(dashboard_uid=uid)
        versions = told["versions"] if isinstance(told, dict) else told  # a list until Grafana 11
        return max(versions or [{}], key=lambda one: int(one.get("version", 0)))

    def _check_language(self, uid: str, told: Mapping[str, Any]) -> None:
        if told.get("type") != DATASOURCE_TYPE:
            raise FleetboxError(
                f"the data source {uid!r} is of type {told.get('type')!r}, not {DATASOURCE_TYPE}", self._known()
            )
        language = (told.get("jsonData") or {}).get("version") or "InfluxQL"
        if language != "InfluxQL":
            raise FleetboxError(
                f"the data source {uid!r} speaks {language}; the boards ask in InfluxQL",
                "choose InfluxQL in its settings, or make one: fleetbox dashboards datasource --site NAME",
            )

    def _unwell(self, uid: str) -> list[str]:
        try:
            with self._said("ask how the data source does"):
                told = self._api.datasource.health(uid)
        except FleetboxError as error:
            return [f"the data source {uid!r} is not well: {error.message}"]
        if isinstance(told, dict) and told.get("status") == "OK":
            return []
        return [f"the data source {uid!r} is not well: {told.get('message') if isinstance(told, dict) else told}"]

    def _known(self) -> str:
        make = "make one: fleetbox dashboards datasource --site NAME"
        try:
            with self._said("list data sources"):
                found = self._api.datasource.list_datasources()
        except FleetboxError:
            return make
        known = ", ".join(f"{one['uid']} ({one['name']})" for one in found if one.get("type") == DATASOURCE_TYPE)
        return f"InfluxDB ones it has: {known}; take one: --datasource UID" if known else make

    @contextmanager
    def _said(self, what: str, next_step: str | None = None) -> Iterator[None]:
        where = f"Grafana at {self._url}"
        try:
            yield
        except (GrafanaTimeoutError, niquests.exceptions.ConnectionError, niquests.exceptions.Timeout) as error:
            raise Unreachable(
                f"cannot {what}: {where} does not answer: {error or type(error).__name__}",
                "is it running? check --url or GRAFANA_URL",
            ) from None
        except GrafanaClientError as error:
            raise _refusal(where, what, error, next_step) from None
        except GrafanaException as error:
            raise StoreRefused(f"{where} could not {what}: {error.message}", error.status_code or 500) from None
        except (niquests.exceptions.RequestException, ValueError) as error:
            raise StoreRefused(
                f"{where} does not answer like a Grafana ({what}): {error}", 200, "check --url or GRAFANA_URL"
            ) from None


def _refusal(where: str, what: str, error: GrafanaClientError, next_step: str | None) -> FleetboxError:
    if error.status_code == 401:
        return AccessDenied(f"{where} does not take the token", EDITOR)
    if error.status_code == 403:
        return AccessDenied(f"{where} does not let this token {what}", next_step or EDITOR)
    if error.status_code == 404:
        return NotFound(f"{where} could not {what}: there is none")
    if error.status_code == 412:
        return StoreRefused(f"{where} could not {what}: somebody saved it meanwhile", 412, "push again")
    return StoreRefused(f"{where} could not {what}: {error.message}", error.status_code, next_step)


def _rule(told: Mapping[str, Any]) -> Found:
    provenance = told.get("provenance") or ""
    ours = LABEL in (told.get("labels") or {})
    pushed = (told.get("annotations") or {}).get(PRINT) if provenance == "api" else None
    where = str(told.get("folderUID") or told.get("folderUid") or "")
    by = _by(None, told.get("updated"))
    return Found("alert", told["uid"], told["title"], ours, pushed, provenance == "file", by, 0, where)


def _by(who: object, when: object) -> str:
    return (f" by {who}" if who else "") + (f" at {when}" if when else "")


def _same(wanted: Mapping[str, Any], told: Mapping[str, Any]) -> bool:
    plain = all(told.get(name) == wanted[name] for name in ("name", "type", "access", "url"))
    there = told.get("jsonData") or {}
    return plain and all(there.get(name) == value for name, value in wanted["jsonData"].items())
