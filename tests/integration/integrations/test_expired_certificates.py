"""A server whose certificate has expired costs no attempt, and who connects says why: an operator has to see it."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from asyncflow.errors import AsyncflowError
from asyncflow.integrations.etcd import EtcdRegistry
from asyncflow.integrations.kafka import ConfluentKafkaPublisher, KafkaPublisher, KafkaQueue, KafkaSettings, KafkaTls
from asyncflow.integrations.nats import NatsPublisher, NatsSettings
from asyncflow.integrations.rabbitmq import RabbitMQPublisher, RabbitMQQueue
from asyncflow.integrations.redis import RedisPublisher, RedisQueue, RedisRegistry
from asyncflow.integrations.rocketmq import RocketMQPublisher
from asyncflow.integrations.webhooks import WebhookPublisher
from asyncflow.integrations.zookeeper.session import EnsembleLimits, EnsembleSession
from asyncflow.scheduler.cluster.signs.board import Sign
from asyncflow.scheduler.publishing.publisher import Unavailable
from tests.support.own_publisher_suite import a_record

Certificate = tuple[Path, Path]  # of who signed it; its own, with its key


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Give an authority that lasts, and the certificate of localhost that ended yesterday."""
    pytest.importorskip("cryptography")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    now, day = datetime.now(timezone.utc), timedelta(days=1)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]) for name in ("authority", "localhost")]
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    hosts = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    extensions: list[list[tuple[Any, bool]]] = [
        [
            (x509.BasicConstraints(True, None), True),
            (usage, True),
            (x509.SubjectKeyIdentifier.from_public_key(keys[0].public_key()), False),
        ],
        [
            (x509.SubjectAlternativeName(hosts), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key()), False),
        ],
    ]
    folder, files = tmp_path_factory.mktemp("certificates"), list[Path]()
    for number, end in enumerate((now + day, now - day)):
        builder = x509.CertificateBuilder(names[0], names[number], keys[number].public_key(), number + 1)
        builder = builder.not_valid_before(now - 9 * day).not_valid_after(end)
        for extension, is_critical in extensions[number]:
            builder = builder.add_extension(extension, is_critical)
        made = builder.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        key = keys[number].private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        files.append(folder / f"{number}.pem")
        files[-1].write_bytes(made + key if number else made)
    return files[0], files[1]


@pytest.fixture(scope="module")
def port(certificate: Certificate) -> Iterator[int]:
    """Give the port of a server that shakes hands, and says nothing."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate[1])
    tls.set_alpn_protocols(["h2", "http/1.1"])
    listening = socket.create_server(("127.0.0.1", 0))

    def greet(connection: socket.socket) -> None:
        with suppress(OSError), tls.wrap_socket(connection, server_side=True) as encrypted:
            encrypted.recv(1)

    def serve() -> None:
        with suppress(OSError):  # it is closed
            while True:
                connection, _ = listening.accept()
                threading.Thread(target=greet, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield int(listening.getsockname()[1])
    listening.close()


def context(authority: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority)


def by_kafka(authority: Path) -> KafkaSettings:
    return KafkaSettings(delivery_timeout_seconds=2, tls=KafkaTls(ca_file=str(authority)))


def by_pika(port: int, authority: Path) -> Any:
    pika = pytest.importorskip("pika")
    return pika.ConnectionParameters("127.0.0.1", port, ssl_options=pika.SSLOptions(context(authority), "localhost"))


def by_grpc(authority: Path) -> dict[str, Any]:
    return {"tls": pytest.importorskip("grpc").ssl_channel_credentials(authority.read_bytes())}


PUBLISHERS: dict[str, tuple[str, Callable[[int, Path], Any]]] = {
    "webhooks": ("httpx", lambda at, by: WebhookPublisher(f"https://127.0.0.1:{at}/", None, client_options=verify(by))),
    "redis": ("redis", lambda at, by: RedisPublisher(f"rediss://127.0.0.1:{at}", client_options=ca(by))),
    "rabbitmq": ("pika", lambda at, by: RabbitMQPublisher(by_pika(at, by))),
    "nats": (
        "nats",
        lambda at, by: NatsPublisher(
            f"tls://127.0.0.1:{at}",
            NatsSettings(delivery_timeout_seconds=5),
            client_options={"tls": context(by), "tls_handshake_first": True},
        ),
    ),
    "rocketmq": ("rocketmq", lambda at, by: RocketMQPublisher(f"localhost:{at}", client_options=by_grpc(by))),
    "confluent": ("confluent_kafka", lambda at, by: ConfluentKafkaPublisher(f"localhost:{at}", by_kafka(by))),
    "kafka": ("kafka", lambda at, by: KafkaPublisher(f"localhost:{at}", by_kafka(by))),
}
# librdkafka's own words are longer than an outcome's text; kafka-python tells no reason, but where it stands.
TOLD = {"confluent": "certificate verify failed", "kafka": "check tls, sasl and client_options"}
SIGNS = {"job": Sign("a", {})}
OTHERS: dict[str, tuple[str, Callable[[int, Path], Any]]] = {
    "redis queue": (
        "redis",
        lambda at, by: RedisQueue(f"rediss://127.0.0.1:{at}", client_options=ca(by)).telling("q").tell([b"x"]),
    ),
    "rabbitmq queue": ("pika", lambda at, by: RabbitMQQueue(by_pika(at, by)).telling("q").tell([b"x"])),
    "confluent queue": (
        "confluent_kafka",
        lambda at, by: KafkaQueue(f"localhost:{at}", settings=by_kafka(by)).telling("q").tell([b"x"]),
    ),
    "redis registry": (
        "redis",
        lambda at, by: RedisRegistry(f"rediss://127.0.0.1:{at}", client_options=ca(by))._board().exchange("me", SIGNS),
    ),
    "etcd": (
        "etcd3gw",
        lambda at, by: (
            EtcdRegistry(f"https://localhost:{at}", client_options={"ca_cert": str(by)})._board().exchange("me", SIGNS)
        ),
    ),
    "zookeeper": (
        "kazoo",
        lambda at, by: EnsembleSession(
            f"localhost:{at}", EnsembleLimits(4.0, 2.0), {"use_ssl": True, "ca": str(by), "verify_certs": True}
        ).open(),
    ),
}


def require(library: str) -> None:
    """Skip aloud where it is not installed; we alone import it, so that none of them keeps a log of its own."""
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed")


def verify(authority: Path) -> dict[str, Any]:
    return {"verify": context(authority)}


def ca(authority: Path) -> dict[str, Any]:
    return {"ssl_ca_certs": str(authority)}


@pytest.mark.parametrize("name", PUBLISHERS)
def test_a_publisher_tells_of_an_expired_certificate_and_no_attempt_is_spent(
    name: str, port: int, certificate: Certificate
) -> None:
    library, make = PUBLISHERS[name]
    require(library)
    publisher = make(port, certificate[0])
    (outcome,) = publisher.publish([a_record("t")])
    publisher.close()
    assert isinstance(outcome, Unavailable)
    assert TOLD.get(name, "certificate has expired") in outcome.error


@pytest.mark.parametrize("name", OTHERS)
def test_a_queue_and_a_registry_tell_of_an_expired_certificate_and_where_it_is(
    name: str, port: int, certificate: Certificate
) -> None:
    library, ask = OTHERS[name]
    require(library)
    with pytest.raises(AsyncflowError) as told:
        ask(port, certificate[0])
    where, *_ = str(told.value).partition("certificate verify failed")
    assert where != str(told.value)
    assert f":{port}" in where
