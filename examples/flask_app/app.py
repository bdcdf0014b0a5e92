# app.py
import os

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from asyncflow import Outbox
from asyncflow.integrations.flask import FlaskOutbox


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)
outbox = Outbox(db.metadata)
flask_outbox = FlaskOutbox(outbox, db)


class User(db.Model):
    account_no: Mapped[str] = mapped_column(String(20), primary_key=True)
    coupons: Mapped[int] = mapped_column(default=0)


@outbox.task(transactional=True)
def issue_coupon(session: Session, account_no: str) -> None:
    session.get_one(User, account_no).coupons = User.coupons + 1  # commits together with the task's outcome


def create_app(database_url: str = os.environ.get("DATABASE_URL", "sqlite:///shop.db")) -> Flask:
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = database_url
    db.init_app(app)
    flask_outbox.init_app(app)

    @app.post("/users/<account_no>")
    def register(account_no: str) -> dict[str, str]:
        db.session.add(User(account_no=account_no))
        issue_coupon.enqueue(db.session, account_no=account_no)
        db.session.commit()
        return {"account_no": account_no}

    @app.get("/users/<account_no>")
    def show(account_no: str) -> dict[str, int]:
        return {"coupons": db.get_or_404(User, account_no).coupons}

    return app
