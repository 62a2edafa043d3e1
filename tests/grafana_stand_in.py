"""The few endpoints of Grafana's HTTP API that a push speaks with, kept in memory.

It is NOT a Grafana: it stores what it is given, answers as the API's reference says (uids, versions with messages,
provenance, 401, 403, 404, 412) and draws nothing. Grafana itself cannot be had from the package registries; what it
makes of the boards is tested by test_grafana.py wherever GRAFANA_URL and GRAFANA_TOKEN are set.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "stand-in-token"


@dataclass
class StandIn:
    """Hold boards, folders, rules and data sources; `refuse` makes a path answer with a status."""

    version: str = "11.2.0"
    boards: dict[str, dict[str, Any]] = field(default_factory=dict)  # uid -> board, meta, versions
    folders: dict[str, str] = field(default_factory=dict)  # uid -> title
    rules: dict[str, dict[str, Any]] = field(default_factory=dict)
    sources: dict[str, dict[str, Any]] = field(default_factory=dict)
    health: dict[str, Any] = field(default_factory=lambda: {"status": "OK", "message": "5 measurements found"})
    refuse: dict[tuple[str, str], int] = field(default_factory=dict)  # (method, beginning of the path) -> status
    asked: list[tuple[str, str]] = field(default_factory=list)

    def __enter__(self) -> Self:
        owner = self

        class Handler(_Handler):
            stand_in = owner

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Return where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def written(self) -> list[tuple[str, str]]:
        """Return the requests that change something."""
        return [(method, path) for method, path in self.asked if method != "GET"]

    def add_source(self, uid: str = "fleetbox", **more: Any) -> None:
        """Add a data source as InfluxQL wants it."""
        json_data = {"version": "InfluxQL", "dbName": "fleet"}
        self.sources[uid] = {"uid": uid, "name": uid, "type": "influxdb", "jsonData": json_data, **more}

    def save(self, board: dict[str, Any], message: str = "", by: str = "ann", folder: str = "") -> None:
        """Save a board as a person does in the browser."""
        known = self.boards.get(board["uid"], {"versions": [], "meta": {"folderUid": folder}})
        number = len(known["versions"]) + 1
        known["versions"].append({"version": number, "message": message, "createdBy": by, "created": "2026-11-21"})
        known["dashboard"] = {**board, "id": 1, "version": number}
        self.boards[board["uid"]] = known

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        """Answer a request."""
        for (refused, start), status in self.refuse.items():
            if method == refused and path.startswith(start):
                return status, {"message": "refused by the test"}
        parts = path.strip("/").split("/")
        match method, *parts:
            case "GET", "health":
                return 200, {"database": "ok", "version": self.version}
            case "GET", "search":
                tags = query.get("tag", [])
                found = [one["dashboard"] for one in self.boards.values()]
                return 200, [
                    {"uid": one["uid"], "title": one["title"]}
                    for one in found
                    if all(tag in one.get("tags", []) for tag in tags)
                ]
            case "GET", "folders":
                return 200, [{"uid": uid, "title": title} for uid, title in self.folders.items()]
            case "POST", "folders":
                uid = body.get("uid") or f"f{len(self.folders)}"
                self.folders[uid] = body["title"]
                return 200, {"uid": uid, "title": body["title"]}
            case "DELETE", "folders", uid if uid in self.folders:
                return 200, {"title": self.folders.pop(uid)}
            case "POST", "dashboards", "db":
                return self._save(body)
            case "GET", "dashboards", "uid", uid, "versions" if uid in self.boards:
                return 200, {"versions": self.boards[uid]["versions"]}
            case "GET", "dashboards", "uid", uid if uid in self.boards:
                return 200, {"dashboard": self.boards[uid]["dashboard"], "meta": self.boards[uid]["meta"]}
            case "DELETE", "dashboards", "uid", uid if uid in self.boards:
                return 200, {"title": self.boards.pop(uid)["dashboard"]["title"]}
            case "GET", "datasources":
                return 200, list(self.sources.values())
            case "GET", "datasources", "uid", uid, "health" if uid in self.sources:
                return (200 if self.health.get("status") == "OK" else 400), self.health
            case "GET", "datasources", "uid", uid if uid in self.sources:
                return 200, {name: value for name, value in self.sources[uid].items() if name != "secureJsonData"}
            case "POST", "datasources":
                if body["uid"] in self.sources:
                    return 409, {"message": "data source with the same uid already exists"}
                self.sources[body["uid"]] = body
                return 200, {"datasource": body}
            case "PUT", "datasources", "uid", uid if uid in self.sources:
                if self.sources[uid].get("readOnly"):
                    return 403, {"message": "Cannot update read-only data source"}
                self.sources[uid] = body
                return 200, {"datasource": body}
            case "DELETE", "datasources", "uid", uid if uid in self.sources:
                return 200, {"id": 1, "name": self.sources.pop(uid)["name"]}
            case "GET", "v1", "provisioning", "alert-rules":
                return 200, list(self.rules.values())
            case "POST", "v1", "provisioning", "alert-rules":
                if body["uid"] in self.rules:
                    return 400, {"message": "a conflicting alert rule is found"}
                self.rules[body["uid"]] = {**body, "provenance": "api", "updated": "2026-11-21"}
                return 201, self.rules[body["uid"]]
            case "PUT", "v1", "provisioning", "alert-rules", uid if uid in self.rules:
                self.rules[uid] = {**body, "provenance": "api", "updated": "2026-11-21"}
                return 200, self.rules[uid]
            case "DELETE", "v1", "provisioning", "alert-rules", uid:
                self.rules.pop(uid, None)
                return 204, None
        return 404, {"message": "Not found"}

    def _save(self, body: dict[str, Any]) -> tuple[int, Any]:
        board = body["dashboard"]
        known = self.boards.get(board["uid"])
        if known and not body["overwrite"] and known["dashboard"]["version"] != board.get("version"):
            return 412, {"message": "The dashboard has been changed by someone else", "status": "version-mismatch"}
        if body["folderUid"] and body["folderUid"] not in self.folders:
            return 404, {"message": "folder not found"}
        self.save(board, body["message"], "fleetbox", body["folderUid"])
        self.boards[board["uid"]]["meta"]["folderUid"] = body["folderUid"]
        return 200, {"status": "success", "uid": board["uid"]}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stand_in: StandIn

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"null") if length else None
        split = urlsplit(self.path)
        path = unquote(split.path).removeprefix("/api")
        self.stand_in.asked.append((self.command, path))
        if path != "/health" and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            status, answer = 401, {"message": "invalid API key"}
        else:
            status, answer = self.stand_in.answer(self.command, path, parse_qs(split.query), body)
        text = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # the base class finds them by these names

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
