"""Where the proxies are, and how to talk to them."""

from __future__ import annotations

import queue
import re
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any

from asyncflow.errors import OptionError, UnreachableError
from asyncflow.integrations.rocketmq.extras import Client
from asyncflow.integrations.rocketmq.settings import RocketMQSettings
from asyncflow.outbox.options import TEXT, options_given, require_kinds
from asyncflow.scheduler.publishing.sessions.texts import one_line

WANTED = "give HOST:PORT of a proxy's gRPC, such as rocketmq:8081; several as a list"
OPTIONS = ("access_key", "secret_key", "tls", "channel_options")
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/@]+):(\d{1,5})")
_ANY = "/apache.rocketmq.v2.MessagingService/Heartbeat"
_TELLS_WITHIN_SECONDS = 2.0  # it tries again in one
_OF_TLS = "OPENSSL_internal:"  # behind which the reason is, too far behind for a short text
_OF_EACH = "failed to connect to all addresses; last error: "
# Each connection is one of its own: the library would share it with the application's, and its pauses after a failure.
_CHANNEL = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
)


class Proxies:
    """Connect to the first proxy that answers; lives as long as its publisher, or its consumer."""

    def __init__(self, client: Client, proxies: Any, settings: RocketMQSettings, given: object) -> None:
        """Check all of it and connect to nothing; raise OptionError."""
        self._client = client
        self._addresses = _checked(proxies)
        options = options_given(given)
        _require_options(options)
        self._tls = _credentials(client, options.get("tls"))
        self._channel_options = [*_CHANNEL, *options.get("channel_options", ())]
        keys = (options.get("access_key") or "", options.get("secret_key") or "")
        self._configuration = client.rocketmq.ClientConfiguration(
            self._addresses[0], client.rocketmq.Credentials(*keys), settings.namespace
        )

    def connect(self, deadline: float) -> Any:
        """Return a channel that is connected; raise UnreachableError if none is by ``deadline`` (monotonic seconds)."""
        why = "no proxy answered in time"
        for number, address in enumerate(self._addresses):
            now = monotonic()
            if now >= deadline:
                break
            share = now + (deadline - now) / (len(self._addresses) - number)  # a silent one leaves time for the others
            try:
                return self._connected(address, share)
            except UnreachableError as error:
                why = str(error)
        raise UnreachableError(why)

    def signed(self, client_id: str) -> list[tuple[str, str]]:
        """Return what goes with each request: who asks, and the proof."""
        pairs: list[tuple[str, str]] = self._client.signature.Signature.metadata(self._configuration, client_id)
        return pairs

    def _connected(self, address: str, deadline: float) -> Any:
        grpc = self._client.grpc
        if self._tls is None:
            channel = grpc.insecure_channel(address, self._channel_options)
        else:
            channel = grpc.secure_channel(address, self._tls, self._channel_options)
        try:
            self._await_connection(channel, address, deadline)
        except BaseException:
            channel.close()
            raise
        return channel

    def _await_connection(self, channel: Any, address: str, deadline: float) -> None:
        states: queue.SimpleQueue[Any] = queue.SimpleQueue()
        connectivity = self._client.grpc.ChannelConnectivity
        channel.subscribe(states.put, try_to_connect=True)
        try:
            while True:
                state = states.get(timeout=max(0.0, deadline - monotonic()))
                if state is connectivity.READY:
                    return
                if state in (connectivity.TRANSIENT_FAILURE, connectivity.SHUTDOWN):
                    raise UnreachableError(
                        one_line(f"the proxy {address} takes no connection", self._why(channel, deadline))
                    )
        except queue.Empty:
            raise UnreachableError(f"the proxy {address} did not answer in time") from None
        finally:
            channel.unsubscribe(states.put)

    def _why(self, channel: Any, deadline: float) -> str:
        """Return why a channel of TLS has failed, as gRPC tells whoever asks anything of it when it fails again."""
        if self._tls is None:
            return ""  # nobody listens there, or does not answer
        try:
            channel.unary_unary(_ANY)(b"", timeout=min(_TELLS_WITHIN_SECONDS, max(0.0, deadline - monotonic())))
        except self._client.grpc.RpcError as error:
            return str(error.details()).removeprefix(_OF_EACH).rpartition(_OF_TLS)[2]
        return ""  # it has come back this moment


def _checked(proxies: Any) -> list[str]:
    addresses = [proxies] if isinstance(proxies, str) else proxies
    if not isinstance(addresses, Sequence) or isinstance(addresses, bytes) or not addresses:
        raise OptionError(f"proxies is {'empty' if addresses == [] else f'a {type(proxies).__name__}'}; {WANTED}")
    for address in addresses:
        found = _ADDRESS.fullmatch(address) if isinstance(address, str) else None
        if found is None or not 0 < int(found[2]) < 65536:
            raise OptionError(f"proxies: {address!r} is none; {WANTED}")
    return list(addresses)


def _require_options(options: Mapping[str, Any]) -> None:
    for name in options:
        if name not in OPTIONS:
            raise OptionError(f"client option {name} is refused: there are {', '.join(OPTIONS)}")
    require_kinds(options, {"access_key": TEXT, "secret_key": TEXT})
    if ("access_key" in options) != ("secret_key" in options):
        raise OptionError("client options access_key and secret_key are refused: give both, or none")


def _credentials(client: Client, tls: Any) -> Any:
    """Return credentials of gRPC, None for no TLS."""
    if tls is None or tls is False:
        return None
    if tls is True:
        return client.grpc.ssl_channel_credentials()
    if not isinstance(tls, client.grpc.ChannelCredentials):
        raise OptionError("client option tls is refused: give True, or grpc.ssl_channel_credentials(...)")
    return tls
