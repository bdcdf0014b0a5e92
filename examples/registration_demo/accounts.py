"""accounts: the web API. POST /users registers a user, announces it and owes it a voucher, in one transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel, Field
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from examples.registration_demo.users import Base, User
from examples.registration_demo.wiring import engine, outbox


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Create what tables are missing; a service in production would leave that to Alembic."""
    Base.metadata.create_all(engine)
    yield


app = FastAPI(title="accounts", lifespan=lifespan)


def open_session() -> Iterator[Session]:
    """Give each request a session of its own."""
    with Session(engine) as session:
        yield session


class Registration(BaseModel):
    """Describe a new user: the body of the request, and of the message."""

    account_no: str = Field(min_length=1, max_length=40)
    name: str = Field(min_length=1, max_length=100)


@app.post("/users", status_code=201)
def register(registration: Registration, session: Annotated[Session, Depends(open_session)]) -> Registration:
    """Register a user: the row, the message and the task are committed together, or neither is."""
    try:
        with session.begin():
            session.add(User(account_no=registration.account_no, name=registration.name))
            outbox.publish(session, "user.registered", registration, key=registration.account_no)
            outbox.enqueue(session, "voucher.issue", account_no=registration.account_no)
    except IntegrityError as error:
        raise HTTPException(409, f"the account {registration.account_no} is taken") from error
    return registration
