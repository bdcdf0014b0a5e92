"""Tasks as a Django project has them, by Django's own decorator."""

from __future__ import annotations

from typing import Any

from django.db import connections

from asyncflow.integrations.django import DjangoOutbox
from tests.integration.integrations.django.library import tasks

outbox = DjangoOutbox()
task = tasks.task


@task
def add(one: int, other: int) -> int:
    return one + other


@task(takes_context=True)
def attempts(context: Any, fails: int) -> int:
    if context.attempt <= fails:
        raise ValueError(f"attempt {context.attempt}")
    return context.attempt


@task
async def later(text: str) -> str:
    return text[::-1]


@task(queue_name="emails")
def write(name: str, *, fails: bool = False) -> None:
    with connections[outbox.using].cursor() as cursor:
        cursor.execute("INSERT INTO users VALUES (%s)", [name])
    if fails:
        raise ValueError(name)


@task
def unspeakable() -> Any:
    return object()
