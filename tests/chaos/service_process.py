"""One replica of the task service under test: ``python -m … DATABASE_URL PORT``."""

from __future__ import annotations

import sys

import uvicorn
from sqlalchemy import create_engine

from asyncflow.integrations.flowsvr import ServiceSettings, Tokens, make_app
from tests.chaos.remote_work import outbox

if __name__ == "__main__":
    settings = ServiceSettings(monitor_interval_seconds=0.2, look_interval_seconds=0.05)
    app = make_app(create_engine(sys.argv[1], pool_size=8), outbox, Tokens.none(), settings)
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", access_log=False)
