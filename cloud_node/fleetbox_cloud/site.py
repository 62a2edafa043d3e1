"""Run everything one site needs in one process: provisioning, tasks, ledger, relay, labeler, loader, books, desk."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import structlog
from aiohttp import web

from fleetbox.blobs import Store
from fleetbox.settings import FleetSettings, Place
from fleetbox_cloud.books_feed import BooksFeed
from fleetbox_cloud.desk.mirroring import mirror
from fleetbox_cloud.desk.pressing import press
from fleetbox_cloud.door import open_door
from fleetbox_cloud.feeds import Feeds, Sources
from fleetbox_cloud.loading import Loading
from fleetbox_cloud.parts import Parts, Run
from fleetbox_cloud.provision import Provisioned, make_missing, provision, wanted_here
from fleetbox_cloud.state import pick_site, state_folder
from fleetbox_cloud.tokens import save_token
from fleetbox_replication.apply import apply_fleet
from fleetbox_replication.census import Census, census_of_site, touches_in
from fleetbox_replication.labeler import Duty, Labeler
from fleetbox_replication.onward import Onward
from fleetbox_replication.relay_secret import relay_secret
from fleetbox_replication.scopes import robots_at_site
from fleetbox_replication.secret_mark import SecretMark, until_changed

log = structlog.get_logger()

TASKS_EVERY_S = 30.0  # a robot that shows up behind a glob has its tasks within this
BUCKETS_EVERY_S = 30.0  # a deleted bucket is made again within this: 300 bytes a look, and records wait for it


class Site:
    """Run the parts of one site; what it keeps is in its state folder."""

    def __init__(self, fleet: FleetSettings, place: Place, buckets_every_s: float = BUCKETS_EVERY_S) -> None:
        self._fleet, self._place, self._buckets_every_s = fleet, place, buckets_every_s
        self._state = state_folder(fleet, place.name)
        self._touches = touches_in(self._state / "touches")
        self._parts = Parts()
        self._onward: Onward | None = None
        self._robots: set[str] = set()  # seen at the store while this process runs
        self._loading = self._make_loading()
        sources = Sources(lambda: self._onward, lambda: self._loading.report() if self._loading else {})
        self._feeds = Feeds(fleet, place.name, self._connect, self._state, sources) if place.influx else None
        if self._feeds and self._loading:
            self._feeds.renewals.tell(self._loading.compare)
        self._books = BooksFeed(fleet, place.name, self._connect, self._state, told=self._feeds)

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set; parts that fail are started again."""
        routes = [web.get("/status", self._status), web.get("/loader/status", self._loader_status)]
        if self._loading:
            routes += self._loading.sink.routes()
        async with open_door(self._state, routes) as url:
            work = asyncio.create_task(self._work(url))
            log.info("site runs", site=self._place.name, door=url)
            try:
                await stop.wait()  # also when all parts are done: a cloud without InfluxDB still answers /status
            finally:
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)

    def report(self) -> dict[str, Any]:
        """Return the state of every part, and of the loader if there is one."""
        loader = self._loading.report() if self._loading else None
        told: dict[str, Any] = {"site": self._place.name, "tier": self._place.tier, "parts": self._parts.report()}
        return {**told, "loader": loader, "renewed": self._renewed(loader)}

    def _renewed(self, loader: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """Return when InfluxDB was last found to have lost what it was fed, and what is still to be fed again."""
        if self._feeds is None or loader is None or not self._feeds.number:
            return None
        at_us = self._feeds.renewals.noticed_us
        compared_us = ((loader["checks"] or {}).get("done", {}).get("everything") or {}).get("at_us", 0)
        behind = {"events and logs": self._feeds.behind, "books": self._books.behind, "numbers": compared_us < at_us}
        return {"at_us": at_us, "bucket": loader["bucket"], "behind": [what for what, so in behind.items() if so]}

    async def _work(self, url: str) -> None:
        await self._parts.keep("provision", self._provision)  # the others need its buckets
        await self._parts.run(self._runs(url))

    def _runs(self, url: str) -> Mapping[str, Run]:
        runs: dict[str, Run] = {"ledger": self._ledger, "buckets": self._buckets, "rollouts": self._rollouts}
        if self._place.next:
            runs["relay"] = self._relay
            runs["tasks"] = self._tasks
            runs["labeler"] = self._labeler
            runs["orders"] = self._orders
        if (loading := self._loading) is not None:
            runs["loader"] = lambda: loading.run(url)
            runs["books"] = self._books.run
        if (feeds := self._feeds) is not None:
            runs["stamps"] = feeds.renewals.run
            runs["boards"] = feeds.run_robots
            runs["events"] = feeds.run_arrivals
            runs["hours"] = feeds.run_hours
        return runs

    def _connect(self) -> Store:
        return Store.at(self._place)

    async def _provision(self) -> None:
        async with self._connect() as store:
            self._note(await provision(store, await wanted_here(store, self._fleet, self._place.name)))

    async def _buckets(self) -> None:
        name, first = self._place.name, True  # also after a failure
        while True:
            async with self._connect() as store:  # anew: its token may be another one by now
                self._note(await make_missing(store, self._fleet, name, self._robots, look_at_tokens=first))
            first = False
            await asyncio.sleep(self._buckets_every_s)

    def _note(self, done: Provisioned) -> None:
        """Keep the tokens newly made, which the store shows only once, and say what was changed."""
        for name, value in done.tokens.items():
            save_token(self._state / "tokens", name, value)
        for change in done.changes:
            log.info("provisioned", what=change.what, name=change.name, why=change.why)

    async def _tasks(self) -> None:
        while True:
            secret = relay_secret(self._place.current_token())
            mark = SecretMark(self._state, secret)
            report = await apply_fleet(self._fleet, [self._place], renew=not mark.known)
            for error in report.failed_places.values():
                raise error
            mark.keep()
            if self._onward is not None and report.changed:
                self._onward.alarm()
            with suppress(TimeoutError):
                async with asyncio.timeout(TASKS_EVERY_S):
                    await until_changed(self._place.current_token, secret)

    async def _relay(self) -> None:
        ahead = self._fleet.next_place(self._place.name)
        assert ahead is not None, "the relay is a part of sites that pass records on"
        uplink = self._fleet.site[self._place.name].uplink
        while True:  # it ends when the site's own token is another
            async with self._connect() as store:
                self._onward = Onward(self._place, ahead, lambda store=store: store, self._state, uplink)  # type: ignore[misc]
                await self._onward.run()

    async def _ledger(self) -> None:
        async with self._connect() as store:
            scope = census_of_site(self._place.name, lambda: store, self._touches)
            await Census(lambda: store, scope, self._state / "census").run()

    async def _labeler(self) -> None:
        async with self._connect() as store:
            scopes = robots_at_site(store, self._place.name, lambda: self._fleet.policy, self._touches)
            await Labeler(store, Duty(scopes, self._place.name, lambda: self._fleet.policy.hash)).run()

    async def _orders(self) -> None:
        ahead = self._fleet.next_place(self._place.name)
        assert ahead is not None, "orders are brought down to sites that pass records on"
        while True:  # it ends when the token used there is another
            await mirror(ahead, self._connect)

    async def _rollouts(self) -> None:
        await press(self._connect, self._place.name)

    def _make_loading(self) -> Loading | None:
        place = self._place
        if place.influx is None:
            return None
        return Loading(self._connect, place.influx, place.name, self._state, place.current_token)

    async def _status(self, request: web.Request) -> web.Response:
        return web.json_response(self.report())

    async def _loader_status(self, request: web.Request) -> web.Response:
        if self._loading is None:
            raise web.HTTPNotFound(text=json.dumps({"error": "this site has no InfluxDB"}))
        return web.json_response(self._loading.report())


async def run_site(fleet: FleetSettings, name: str | None) -> None:
    """Run a site until SIGTERM or Ctrl-C. Raises FleetboxError when it cannot even start."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, stop.set)
    await Site(fleet, pick_site(fleet, name)).run(stop)
