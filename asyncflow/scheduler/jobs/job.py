"""The jobs that a user writes: a SimpleJob executes, a DataflowJob fetches and processes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sized
from typing import Any, Generic, TypeVar

from asyncflow.callables import require_done, require_function
from asyncflow.errors import OptionError
from asyncflow.outbox.tables import JOB_LENGTH
from asyncflow.scheduler.jobs.context import Context
from asyncflow.scheduler.jobs.settings import JobSettings
from asyncflow.text import require_text, shown

ContextT = TypeVar("ContextT", bound=Context, contravariant=True)
DataT = TypeVar("DataT", bound=Sized)


class Job(ABC):
    """Be the base of every job; made once, its code may run on several threads at once, an item on one.

    ``options`` are the fields of JobSettings, which can be given whole as ``settings`` instead. The name is the
    job's identity among all instances. Raises OptionError or UnknownOptionError.
    """

    takes_whole_share = False  # one run takes all items of this instance, with a ShareContext
    holds_its_items = False  # it keeps those it works on from being handed over by itself, as ctx's are not kept
    starts_at_once = False  # its first run waits for items, not for a tick
    can_stream = False

    def __init__(self, name: str, *, settings: JobSettings | None = None, **options: Any) -> None:
        if settings is not None and options:
            raise OptionError(f"settings and {', '.join(options)} are both given; put all of them into settings")
        self.name = require_text("a job's name", name, JOB_LENGTH, OptionError)
        self.configure(settings or JobSettings.of(**options))

    def with_options(self, options: Mapping[str, Any]) -> None:
        """Lay options over the job's settings; raises OptionError or UnknownOptionError."""
        self.configure(self.settings.with_options(options))

    def configure(self, settings: JobSettings) -> None:
        """Let the job have these settings from the next start on; raises OptionError."""
        if settings.streaming_process and not self.can_stream:
            raise OptionError(f"streaming_process is True, but {self.name!r} only executes; write a DataflowJob")
        if settings.monitor_execution and self.takes_whole_share:
            raise OptionError(f"monitor_execution is True, but {self.name!r} takes all its items at once; set it False")
        self.settings = settings

    @abstractmethod
    def run_batch(self, context: Any) -> bool:
        """Do one batch of the work; return whether there may be more."""

    def finish_in_hand(self) -> None:
        """Let go of what keeps items from being handed over; called between batches, while there are none to work on.

        On the thread that does the batches, now and then, and only where one run takes the whole share.
        """
        return

    def seconds_until_next_fetch(self) -> float | None:
        """Return how long a streaming job that found nothing waits, at most until the next tick; None: until then."""
        return None


class SimpleJob(Job):
    """Execute something for an item at each tick: a subclass's ``execute``, or a plain ``function``."""

    def __init__(
        self,
        name: str,
        function: Callable[[Any], None] | None = None,
        *,
        settings: JobSettings | None = None,
        **options: Any,
    ) -> None:
        super().__init__(name, settings=settings, **options)
        if function is not None and not callable(function):
            raise OptionError(f"the function of {name!r} is {shown(function)}; give one that takes a context")
        if function is None and type(self).execute is SimpleJob.execute:
            raise OptionError(f"{name!r} has nothing to execute; give a function, or subclass SimpleJob with execute()")
        self._function = self.execute if function is None else function
        require_function(f"what {name!r} executes", self._function)
        require_function(f"execute() of {name!r}", self.execute)

    def execute(self, context: Any) -> None:
        """Do the work of one item."""
        require_done(f"what {self.name!r} executes", self._function(context))

    def run_batch(self, context: Any) -> bool:
        """Execute once."""
        done: Any = self.execute(context)  # type: ignore[func-returns-value]
        require_done(f"execute() of {self.name!r}", done)
        return False


class DataflowJob(Job, Generic[ContextT, DataT]):
    """Fetch data of an item and process them; again and again with ``streaming_process``, until none are left."""

    can_stream = True

    def configure(self, settings: JobSettings) -> None:
        """Do so; raises OptionError for methods that nobody would await, too."""
        super().configure(settings)
        require_function(f"fetch_data() of {self.name!r}", self.fetch_data)
        require_function(f"process_data() of {self.name!r}", self.process_data)

    @abstractmethod
    def fetch_data(self, context: ContextT) -> DataT | None:
        """Return what is to be processed next; something empty, or None, when there is nothing left."""

    @abstractmethod
    def process_data(self, context: ContextT, data: DataT) -> None:
        """Process what was fetched, and mark it, so that it is not fetched again."""

    def run_batch(self, context: Any) -> bool:
        """Fetch and process once; return whether anything was there."""
        data = self.fetch_data(context)
        if data is None or len(data) == 0:
            return False
        done: Any = self.process_data(context, data)
        if done is not None:
            require_done(f"process_data() of {self.name!r}", done)
        return True
