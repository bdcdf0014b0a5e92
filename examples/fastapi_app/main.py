# main.py
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import FastAPI
from sqlalchemy import String
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from asyncflow import AsyncScheduler, Outbox
from asyncflow.integrations.fastapi import before_response, lifespan, transaction


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    account_no: Mapped[str] = mapped_column(String(20), primary_key=True)
    coupons: Mapped[int] = mapped_column(default=0)


engine = create_async_engine(os.environ.get("DATABASE_URL", "sqlite+aiosqlite:///shop.db"))
outbox = Outbox(Base.metadata)


@outbox.task(transactional=True)
async def issue_coupon(session: AsyncSession, account_no: str) -> None:
    (await session.get_one(User, account_no)).coupons = User.coupons + 1  # commits together with the task's outcome


@asynccontextmanager
async def database(_: FastAPI) -> AsyncIterator[None]:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan(lambda: AsyncScheduler(engine, outbox, publishers={}), database))
get_session = transaction(engine)
Transaction = Annotated[AsyncSession, before_response(get_session)]


@app.post("/users/{account_no}")
async def register(account_no: str, session: Transaction) -> dict[str, str]:
    session.add(User(account_no=account_no))
    issue_coupon.enqueue(session, account_no=account_no)
    return {"account_no": account_no}


@app.get("/users/{account_no}")
async def show(account_no: str, session: Transaction) -> dict[str, int]:
    return {"coupons": (await session.get_one(User, account_no)).coupons}
