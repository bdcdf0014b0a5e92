"""The members of an etcd cluster: one is asked, and another one after it did not answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, TypeVar
from urllib.parse import SplitResult

from asyncflow.errors import RegistryAwayError, RegistryRefusedError
from asyncflow.forks import keep_for_ever
from asyncflow.integrations.etcd.extras import etcd3gw

T = TypeVar("T")
USUAL_PORT = 2379
REFUSED = ("permission denied", "user name is empty", "invalid auth token", "authentication failed")


class Members:
    """Ask an etcd; one thread at a time. A connection is made by the first question."""

    def __init__(self, urls: Sequence[SplitResult], options: Mapping[str, Any], answer_seconds: float) -> None:
        self._library = etcd3gw()
        self._requests = import_module("requests")
        self._urls = urls
        self._options = options
        self._answer_seconds = answer_seconds
        self._asked = 0  # the number of the member
        self._client: Any = None

    def ask(self, work: Callable[[Any], T]) -> T:
        """Let the work, which may be done twice, ask a client; once more by another member, if there is one.

        Raises RegistryAwayError or RegistryRefusedError.
        """
        try:
            return self._ask(work)
        except RegistryRefusedError:
            raise
        except RegistryAwayError:
            if len(self._urls) == 1:
                raise
            return self._ask(work)

    def _ask(self, work: Callable[[Any], T]) -> T:
        if self._client is None:
            self._client = self._made()
        try:
            return work(self._client)
        except (self._library.exceptions.Etcd3Exception, self._requests.RequestException) as error:
            told = getattr(error, "detail_text", None) or repr(error)
            place = self._client.base_url
            self.close()
            self._asked = (self._asked + 1) % len(self._urls)
            kind = RegistryRefusedError if any(word in told for word in REFUSED) else RegistryAwayError
            raise kind(f"etcd at {place} did not answer, or refused: {' '.join(told.split())[:300]}") from error

    def close(self) -> None:
        """End the connections; the next question makes others."""
        client, self._client = self._client, None
        if client is not None:
            client.session.close()

    def leave_to_parent(self) -> None:
        """Let go of the parent's connections."""
        keep_for_ever(self._client)
        self._client = None

    def _made(self) -> Any:
        session = self._requests.Session()
        session.trust_env = False  # a proxy for the world outside is none for the cluster
        session.verify = self._options.get("ca_cert", True)
        if "cert_cert" in self._options:
            session.cert = (self._options["cert_cert"], self._options["cert_key"])
        url = self._urls[self._asked]
        return self._library.Etcd3Client(
            host=url.hostname,
            port=url.port or USUAL_PORT,
            protocol=url.scheme,
            timeout=self._answer_seconds,
            session=session,
        )
