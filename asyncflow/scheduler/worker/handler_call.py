"""The call of a handler: with its arguments, in its transaction, as a function or as a coroutine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import orjson
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from asyncflow.callables import require_done
from asyncflow.errors import InvalidArgumentsError, OptionError
from asyncflow.leash import call_on_leash, on_leash
from asyncflow.outbox.arguments.signature import SESSION, Signature
from asyncflow.outbox.declarations.handler_type import HandlerType
from asyncflow.outbox.encryption.encryption import Encryption
from asyncflow.outbox.encryption.marks import is_encrypted
from asyncflow.outbox.task import Task
from asyncflow.scheduler.loops.callers_loop import AtHome
from asyncflow.scheduler.worker.claiming.claim import Claim
from asyncflow.scheduler.worker.claiming.claim_source import ClaimSource
from asyncflow.scheduler.worker.leaving.results import result_of
from asyncflow.scheduler.worker.task_context import TaskContext
from asyncflow.scheduler.worker.transactional.async_joint_commit import AsyncJointCommit
from asyncflow.scheduler.worker.transactional.enclosing_commit import EnclosingCommit
from asyncflow.scheduler.worker.transactional.joint_commit import JointCommit
from asyncflow.scheduler.worker.transactional.tries import Tries

JointT = TypeVar("JointT", JointCommit, EnclosingCommit)


class Tools(NamedTuple):
    """Hold what all attempts of one worker use; coroutines are ``at_home`` with the application."""

    source: ClaimSource
    engine: Engine | None
    max_context_bytes: int
    at_home: AtHome | None = None
    encryption: Encryption | None = None  # None: claims come in the clear
    database_name: str = ""  # of one among several


@dataclass(slots=True, eq=False)
class HandlerCall:
    """Hold what the call of a handler needs, and whether it settled its task; used on the handler's thread or loop."""

    claim: Claim
    task_type: HandlerType
    tools: Tools
    context: TaskContext | None = None  # for a handler that takes one, or has something around it
    is_settled: bool = False  # by the handler's own transaction
    joint: JointCommit | EnclosingCommit | None = None  # while a transactional handler works

    def work(self) -> None:
        """Call it, a function, in the transaction that its type asks for; raises what it raises."""
        if not self.task_type.transactional:
            self._call_handler()
        elif self.task_type.is_enclosed:
            self._call_enclosed()
        else:
            self._call_in_session()

    async def work_async(self) -> None:
        """Await it, a coroutine; raises what it raises."""
        if self.task_type.transactional:
            await self._await_in_session()
        else:
            await self._await_call()

    def _call_handler(self, session: Session | None = None) -> None:
        """Call it; this is done for each task, so it takes few calls of its own."""
        handler, signature = self.task_type.handler, self.task_type.signature
        if handler is None or signature is None:
            handler, signature = self.task_type.handling()  # which raises
        arguments = self._arguments(signature)
        if session is not None:
            arguments[SESSION] = session
        returned = call_on_leash(handler, arguments)
        if returned is not None:
            self._require_done(returned)
        if self.claim.wants_result:
            self._take(returned)

    def _call_in_session(self) -> None:
        """Give the handler a Session whose commit, the handler's own or ours, settles the task as well."""
        engine = self.tools.engine
        if engine is None:
            raise no_engine(self.task_type.name)
        self._try(
            engine,
            lambda: JointCommit(self.tools.source, engine, self.claim),
            lambda joint: joint.run(lambda session: self._call_handler(session)),
        )

    def _call_enclosed(self) -> None:
        """Call the handler in the application's own transaction, whose commit settles the task as well."""
        engine, enclose = self.tools.engine, self.task_type.enclose
        if engine is None or enclose is None:
            raise no_engine(self.task_type.name)
        self._try(
            engine,
            lambda: EnclosingCommit(self.tools.source, engine, self.claim, enclose),
            lambda joint: joint.run(self._call_handler),
        )

    def _try(self, engine: Engine, begin: Callable[[], JointT], run: Callable[[JointT], None]) -> None:
        """Run a transaction; once more, a few times, where it was given up for another one's sake."""
        tries = Tries(engine)
        while True:
            self.joint = joint = begin()
            try:
                run(joint)
            except Exception as error:
                pause = tries.pause_after(error) if self._may_try(joint) else None
                if pause is None:
                    raise
            else:
                return
            finally:
                self.is_settled = joint.is_committed
            time.sleep(pause)

    async def _await_call(self, **given: Any) -> None:
        handler, signature = self.task_type.handling()
        returned = await on_leash(handler(**self._arguments(signature), **given))
        self._require_done(returned)
        if self.claim.wants_result:
            self._take(returned)

    async def _await_in_session(self) -> None:
        """Give the coroutine an AsyncSession whose commit, the coroutine's own or ours, settles the task as well."""
        tools = self.tools
        if tools.engine is None or tools.at_home is None:
            raise no_async_engine(self.task_type.name)
        tries = Tries(tools.engine)
        while True:
            self.joint = joint = AsyncJointCommit(tools.source, tools.engine, tools.at_home.engine, self.claim)
            try:
                await joint.run_async(lambda session: self._await_call(session=session))
            except Exception as error:
                pause = tries.pause_after(error) if self._may_try(joint) else None
                if pause is None:
                    raise
            else:
                return
            finally:
                self.is_settled = joint.is_committed
            await asyncio.sleep(pause)

    def _may_try(self, joint: JointCommit | EnclosingCommit) -> bool:
        """Tell whether the handler may be called once more in this attempt: nothing of it stands."""
        return joint.is_open and self.is_wanted

    @property
    def is_wanted(self) -> bool:
        """Tell whether what the handler does counts."""
        return True

    def _require_done(self, returned: Any) -> None:
        require_done(f"the handler of {self.task_type.name!r}", returned)

    def _take(self, returned: Any) -> None:
        """Keep what the handler returned, to be written with the outcome."""
        self.claim.keep(result_of(returned, self.task_type, self.tools.max_context_bytes))

    def _arguments(self, signature: Signature) -> dict[str, Any]:
        task = self.claim.task
        if task.headers_json is not None and self.tools.encryption is not None and is_encrypted(task.headers_json):
            arguments = decrypted_arguments(self.tools.encryption, signature, task)
        else:
            arguments = signature.stored(orjson.loads(task.payload or b"{}"))
        if signature.takes_context:
            arguments["ctx"] = self.context
        return arguments


def decrypted_arguments(encryption: Encryption, signature: Signature, task: Task) -> dict[str, Any]:
    """Return the arguments of a task in the clear; raises EncryptionError, or InvalidArgumentsError, with no value."""
    opened = encryption.open_task(task)
    try:
        return signature.stored(orjson.loads(opened.payload or b"{}"))
    except InvalidArgumentsError as error:
        text = f"the argument {error.argument!r} in the encrypted payload does not fit {task.task_type}()"
        raise InvalidArgumentsError(text, error.argument) from None


def no_engine(name: str) -> OptionError:
    """Return the error of a transactional handler in a worker that was given no database."""
    return OptionError(
        f"the handler of {name!r} is transactional, but an Outbox has no engine to work on; "
        f"give a Scheduler whose database has the service's task table, or leave transactional out"
    )


def no_async_engine(name: str) -> OptionError:
    """Return the error of a transactional coroutine where no AsyncEngine was given."""
    return OptionError(
        f"the handler of {name!r} is a transactional coroutine, which works in an AsyncSession: run an "
        f"AsyncScheduler(async_engine, outbox, ...) on the application's event loop, or make the handler a function"
    )
