# test_app.py
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from asyncflow.testing import assert_enqueued, drain
from examples.flask_app.app import create_app, db, issue_coupon


@pytest.fixture
def client() -> Iterator[FlaskClient]:
    app = create_app("sqlite://")
    with app.app_context():
        db.create_all()
        yield app.test_client()


def test_who_registers_gets_a_coupon(client: FlaskClient) -> None:
    assert client.post("/users/A1001").status_code == 200
    assert_enqueued(db.session, issue_coupon, account_no="A1001")
    drain(db.session)
    db.session.commit()
    assert client.get("/users/A1001").json == {"coupons": 1}


def test_who_did_not_register_has_none(client: FlaskClient) -> None:
    assert client.get("/users/A1001").status_code == 404
