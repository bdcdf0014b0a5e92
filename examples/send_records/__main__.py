"""Write some records and let the job send them: ``python -m examples.send_records``."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from examples.send_records.job import SENT, Base, Record, engine, scheduler

Base.metadata.create_all(engine)
with Session(engine) as session, session.begin():
    session.add_all([Record(text=f"hello {number}") for number in range(10)])
once = scheduler()
once.drain()  # each item's stream once, in place of its ticks
once.stop()
with Session(engine) as session:
    sent = session.scalar(select(func.count()).where(Record.status == SENT))
    print(f"{sent} records are sent")
