"""The business table of `accounts`."""

from __future__ import annotations

from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """Hold the tables of `accounts`: users, and asyncflow's own beside them."""


class User(Base):
    """Be one registered user."""

    __tablename__ = "users"

    account_no: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
