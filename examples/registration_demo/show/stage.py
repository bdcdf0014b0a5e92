"""The stage: the services of one run, and how each is started."""

from __future__ import annotations

from dataclasses import dataclass

from examples.registration_demo.show.books import Books
from examples.registration_demo.show.broker import Broker
from examples.registration_demo.show.child import Child
from examples.registration_demo.show.databases import Urls
from examples.registration_demo.show.processes import Processes
from examples.registration_demo.show.screen import Screen
from examples.registration_demo.show.view import State, Tone

PACKAGE = "examples.registration_demo"
CONSUMERS = ("coupon", "points")
SERVICES = ("accounts", "scheduler", *CONSUMERS)
KEEP_ALIVE = ("--timeout-keep-alive", "600")  # seconds; longer than a show


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Hold what every act works with."""

    urls: Urls
    broker: Broker
    processes: Processes
    books: Books
    screen: Screen

    async def open(self) -> str:
        """Start every service; return the address of the web API."""
        for service in CONSUMERS:
            self._start(service, service, "-m", f"{PACKAGE}.{service}")
        # The port is the system's choice; uvicorn tells it. It closes no connection on which somebody begins to ask.
        web = ("-m", "uvicorn", f"{PACKAGE}.accounts:app", "--port", "0", "--no-access-log", *KEEP_ALIVE)
        address = await self._start("accounts", "accounts", *web).answer(r"running on (http://\S+)")
        self._show_up("broker", "accounts")
        await self.start_scheduler()
        self._show_up("scheduler")
        for service in CONSUMERS:
            await self.processes[service].answer(r"reads partitions \[\d")
            self._show_up(service)
        self._start("dashboard", "accounts", *self._dashboard())
        self.screen.tell(Tone.PLAIN, f"its dashboard is at {await self.dashboard()}")
        self.screen.tell(Tone.GOOD, "every process is up; users begin to register")
        return address

    async def start_scheduler(self) -> None:
        """Start the scheduler, and wait until it runs."""
        command = ("-m", "asyncflow.cli", "run", f"{PACKAGE}.wiring:scheduler")
        await self._start("scheduler", "accounts", *command).answer("SchedulerStarted")

    async def dashboard(self) -> str:
        """Return the address of the dashboard, as soon as it is up."""
        return await self.processes["dashboard"].answer(r"dashboard is at (http://\S+)")

    def _dashboard(self) -> tuple[str, ...]:
        # The outbox alone: who only looks needs no publisher.
        named = (f"{PACKAGE}.wiring:outbox", "--database-url", self.urls["accounts"])
        return ("-m", "asyncflow.cli", "dashboard", *named, "--port", "0")

    def _show_up(self, *names: str) -> None:
        self.screen.view.states.update(dict.fromkeys(names, State.UP))
        self.screen.refresh()

    def _start(self, name: str, service: str, *command: str) -> Child:
        return self.processes.start(
            name,
            *command,
            DEMO_DATABASE_URL=self.urls[service],
            DEMO_KAFKA=self.broker.address,
            DEMO_TOPIC=self.broker.topic,
            DEMO_GROUP=self.broker.group_of(service),
        )
