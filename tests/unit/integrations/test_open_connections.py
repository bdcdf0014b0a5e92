"""What is given for a connection is never taken for nothing: it is refused by its name before anything connects."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest
from sqlalchemy import MetaData, create_engine

from asyncflow import Inbox, Outbox
from asyncflow.errors import OptionError
from asyncflow.integrations.etcd import EtcdRegistry
from asyncflow.integrations.kafka import (
    ConfluentKafkaPublisher,
    KafkaPublisher,
    KafkaQueue,
    KafkaSasl,
    KafkaSettings,
    KafkaTls,
)
from asyncflow.integrations.kafka.consuming import Consumer
from asyncflow.integrations.nats import NatsPublisher
from asyncflow.integrations.nats.consuming import NatsConsumer
from asyncflow.integrations.notices import Email, Webhook
from asyncflow.integrations.opensearch import OpenSearchPublisher
from asyncflow.integrations.rabbitmq import RabbitMQPublisher, RabbitMQQueue
from asyncflow.integrations.rabbitmq.consuming import RabbitMQConsumer
from asyncflow.integrations.redis import Lock, RedisPublisher, RedisQueue, RedisRegistry
from asyncflow.integrations.redis.consuming import RedisConsumer
from asyncflow.integrations.rocketmq import RocketMQPublisher
from asyncflow.integrations.rocketmq.consuming import RocketMQConsumer
from asyncflow.integrations.webhooks import WebhookPublisher
from asyncflow.integrations.zookeeper import ZooKeeper

SECRET = "s3cret"
LIBRARIES = {
    "confluent": "confluent_kafka",
    "etcd": "etcd3gw",
    "kafka": "kafka",
    "nats": "nats",
    "rabbitmq": "pika",
    "redis": "redis",
    "rocketmq": "rocketmq",
    "search": "httpx",
    "webhooks": "httpx",
    "zookeeper": "kazoo",
}
PLACE = (create_engine("sqlite://"), Outbox(MetaData()), Inbox(MetaData()))
Make = Callable[..., object]
MAKERS: dict[str, Make] = {
    "confluent publisher": lambda **o: ConfluentKafkaPublisher("127.0.0.1:1", **o),
    "confluent queue": lambda **o: KafkaQueue("127.0.0.1:1", **o),
    "confluent consumer": lambda **o: Consumer(*PLACE, "127.0.0.1:1", client="confluent-kafka", group="g", **o),
    "kafka publisher": lambda **o: KafkaPublisher("127.0.0.1:1", **o),
    "kafka consumer": lambda **o: Consumer(*PLACE, "127.0.0.1:1", group="g", **o),
    "nats publisher": lambda **o: NatsPublisher("nats://127.0.0.1:1", **o),
    "nats consumer": lambda **o: NatsConsumer(*PLACE, "nats://127.0.0.1:1", group="g", **o),
    "rabbitmq publisher": lambda **o: RabbitMQPublisher("amqp://127.0.0.1:1", **o),
    "rabbitmq queue": lambda **o: RabbitMQQueue("amqp://127.0.0.1:1", **o),
    "rabbitmq consumer": lambda **o: RabbitMQConsumer(*PLACE, "amqp://127.0.0.1:1", **o),
    "redis publisher": lambda **o: RedisPublisher("rediss://127.0.0.1:1", **o),
    "redis queue": lambda **o: RedisQueue("rediss://127.0.0.1:1", **o),
    "redis consumer": lambda **o: RedisConsumer(*PLACE, "rediss://127.0.0.1:1", group="g", **o),
    "redis registry": lambda **o: RedisRegistry("rediss://127.0.0.1:1", **o),
    "redis lock": lambda **o: Lock("rediss://127.0.0.1:1", "n", **o),
    "rocketmq publisher": lambda **o: RocketMQPublisher("127.0.0.1:1", **o),
    "rocketmq consumer": lambda **o: RocketMQConsumer(*PLACE, "127.0.0.1:1", group="g", **o),
    "search": lambda **o: OpenSearchPublisher("https://127.0.0.1:1", **o),
    "webhooks": lambda **o: WebhookPublisher("https://127.0.0.1:1", None, **o),
    "etcd": lambda **o: EtcdRegistry("https://127.0.0.1:1", **o),
    "zookeeper": lambda **o: ZooKeeper("127.0.0.1:1", **o),
}
OF_HTTPX: dict[str, tuple[object, ...]] = {
    "verify": (None, 0, {}, ""),
    "cert": ("", None, ()),
    "proxy": ("", None),
    "http2": (0, "no"),
}
# Of each client, options that it takes for none where they are empty or of another kind.
OPTIONS: dict[str, dict[str, tuple[object, ...]]] = {
    "confluent": {
        "ssl.ca.location": ("", None, False),
        "ssl.key.pem": ("", None),
        "sasl.mechanism": ("", None),
        "sasl.password": ("", None, 7),
    },
    "kafka": {
        "ssl_cafile": ("", None, False),
        "ssl_check_hostname": (None, 0, "no"),
        "ssl_password": ("", None),
        "sasl_plain_password": ("", None, 7),
    },
    "nats": {
        "tls": ({}, False, None, True, "ca.pem"),
        "user_credentials": ("", None, ()),
        "nkeys_seed": ("", None),
        "password": ("", None, 7),
        "token": ("", None),
        "tls_handshake_first": (0, "yes"),
    },
    "redis": {
        "password": ("", None, 7),
        "username": ("", None),
        "ssl_ca_certs": ("", None, False),
        "ssl_certfile": ("", None),
        "ssl_cert_reqs": (None, False, "", 0),
        "ssl_check_hostname": (None, 0, "no"),
    },
    "rocketmq": {"access_key": ("", None, 7), "secret_key": ("", None), "tls": ({}, 0, "", "ca.pem")},
    "search": OF_HTTPX,
    "webhooks": OF_HTTPX,
    "etcd": {"ca_cert": ("", None, False), "cert_cert": ("", None), "cert_key": ("", None)},
    "zookeeper": {
        "use_ssl": ({}, 0, None, "yes"),
        "auth_data": ([], None, "", {}),
        "sasl_options": ({}, None, ""),
        "verify_certs": (0, None, ""),
        "ca": ("", None),
        "default_acl": ([], None),
    },
}
IN_KAFKA_PYTHON = {
    "security.protocol": "security_protocol",
    "ssl.key.location": "ssl_keyfile",
    "sasl.mechanism": "sasl_mechanism",
}
WITHOUT_SETTINGS = ("redis queue", "redis registry", "redis lock", "etcd", "zookeeper")


def of_client(name: str) -> str:
    return name.partition(" ")[0]


WITH_SETTINGS = [name for name in MAKERS if name not in WITHOUT_SETTINGS]
WITH_OPTIONS = [name for name in MAKERS if of_client(name) != "rabbitmq"]
OF_KAFKA = [name for name in WITH_OPTIONS if of_client(name) in ("confluent", "kafka")]
CASES = [
    (name, option, value)
    for name in MAKERS
    for option, values in OPTIONS.get(of_client(name), {}).items()
    for value in values
]


@pytest.fixture(autouse=True)
def no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("it connects")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def maker(name: str) -> Make:
    require(LIBRARIES[of_client(name)])
    return MAKERS[name]


def require(library: str) -> None:
    """Skip aloud where it is not installed; we alone import it, so that none of them keeps a log of its own."""
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed")


@pytest.mark.parametrize("given", [{}, 0, "", False, [], {"password": SECRET}], ids=repr)
@pytest.mark.parametrize("name", WITH_SETTINGS)
def test_what_is_no_settings_is_refused(name: str, given: object) -> None:
    with pytest.raises(OptionError, match=r"^settings is an? \w+; give \w+Settings\(...\), or leave it out") as refused:
        maker(name)(settings=given)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("given", [0, "", False, [], [("password", SECRET)], {7: SECRET}], ids=repr)
@pytest.mark.parametrize("name", WITH_OPTIONS)
def test_what_is_no_mapping_of_options_is_refused(name: str, given: object) -> None:
    with pytest.raises(OptionError, match=r"^client_options is an? \w+; give a mapping of names") as refused:
        maker(name)(client_options=given)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(("name", "option", "value"), CASES, ids=[f"{n}-{o}-{v!r}" for n, o, v in CASES])
def test_an_option_that_its_client_takes_for_none_is_refused(name: str, option: str, value: object) -> None:
    with pytest.raises(OptionError, match=rf"client option {option} is"):
        maker(name)(client_options={option: value})


def test_what_is_well_is_taken() -> None:
    for name, options in (
        ("nats publisher", {"tls": ssl.create_default_context(), "password": SECRET}),
        ("zookeeper", {"use_ssl": True, "ca": "ca.pem", "auth_data": [("digest", SECRET)]}),
        ("redis publisher", {"ssl_ca_certs": "ca.pem", "ssl_cert_reqs": "none"}),
        ("kafka publisher", {"security_protocol": "SASL_SSL", "sasl_mechanism": "GSSAPI", "ssl_cafile": "ca.pem"}),
    ):
        maker(name)(client_options=options)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: KafkaTls(ca_file=""), "ca_file of tls is empty"),
        (lambda: KafkaTls(key_file="k.pem"), "key_file without certificate_file"),
        (lambda: KafkaTls(verify_host=None), "verify_host of tls is a NoneType"),  # type: ignore[arg-type]
        (lambda: KafkaSasl(username="u", password=""), "password of sasl is empty"),
        (lambda: KafkaSasl(username=None, password=SECRET), "username of sasl is a NoneType"),  # type: ignore[arg-type]
        (lambda: KafkaSettings(client_id=""), "client_id of settings is empty"),
        (lambda: Email(host="h", sender="a@b", to=["c@d"], security=""), "security of e-mail is ''"),
        (lambda: Webhook("https://h/", secret=""), "the secret of a webhook is no text"),
    ],
)
def test_each_field_is_refused_by_its_name(make: Callable[[], object], told: str) -> None:
    with pytest.raises(OptionError, match=told) as refused:
        make()
    assert SECRET not in str(refused.value)


def test_files_of_tls_are_not_left_unused() -> None:
    require("etcd3gw")
    with pytest.raises(OptionError, match="urls has http://, which goes without"):
        EtcdRegistry("https://h:1,http://h:2", client_options={"ca_cert": "ca.pem"})
    with pytest.raises(OptionError, match="ca is of TLS, which goes unused; give use_ssl=True"):
        ZooKeeper("h:1", client_options={"ca": "ca.pem"})


@pytest.mark.parametrize(("secrets", "told"), [([], "secrets is empty"), ("", "does not begin with whsec_")])
def test_secrets_of_webhooks_are_not_taken_for_none(secrets: Any, told: str) -> None:
    require("httpx")
    with pytest.raises(OptionError, match=told):
        WebhookPublisher("https://h/", secrets)


@pytest.mark.parametrize(
    ("settings", "options", "told"),
    [
        ({"tls": KafkaTls()}, {"security.protocol": "PLAINTEXT"}, "it would leave tls out"),
        ({"sasl": KafkaSasl(username="u", password="p")}, {"security.protocol": "SSL"}, "it would leave sasl out"),
        ({}, {"ssl.key.location": "k.pem"}, "the connection is PLAINTEXT, which goes without it"),
        ({"tls": KafkaTls()}, {"sasl.mechanism": "GSSAPI"}, "the connection is SSL, which goes without it"),
    ],
    ids=["no tls", "no log-in", "files unused", "log-in unused"],
)
@pytest.mark.parametrize("name", OF_KAFKA)
def test_options_of_kafka_that_leave_a_connection_open_are_refused(
    name: str, settings: dict[str, Any], options: dict[str, str], told: str
) -> None:
    names = {} if of_client(name) == "confluent" else IN_KAFKA_PYTHON
    given = {names.get(option, option): value for option, value in options.items()}
    with pytest.raises(OptionError, match=told):
        maker(name)(settings=KafkaSettings(**settings), client_options=given)
