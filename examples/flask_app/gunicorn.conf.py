# gunicorn.conf.py
from typing import Any

from examples.flask_app.app import create_app, db, flask_outbox

workers = 2


def on_starting(server: Any) -> None:
    with create_app().app_context():
        db.create_all()


def post_worker_init(worker: Any) -> None:
    flask_outbox.start(worker.wsgi)


def worker_exit(server: Any, worker: Any) -> None:
    flask_outbox.stop()
