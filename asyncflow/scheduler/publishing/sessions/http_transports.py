"""The transports of publishers that send by HTTP: of the library and with the options that they are given."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from asyncflow.errors import OptionError
from asyncflow.outbox.options import FLAG, OptionKind, require_kinds

# httpx takes an empty one for none: no look at the certificate, no certificate of one's own, no proxy.
KINDS = {
    "verify": OptionKind((bool, str, ssl.SSLContext), "an ssl.SSLContext, True or False"),
    "cert": OptionKind((str, tuple), "the path of a file, or a pair of them"),
    "proxy": OptionKind((object,), "its URL"),
    "http1": FLAG,
    "http2": FLAG,
}


class HttpTransports:
    """Make one transport for each session; lives as long as its publisher.

    ``library`` is httpx, which an integration has imported. ``client_options`` are the application's; those that
    ``refused`` names, each with a remedy, the publisher decides itself, and ``limits`` are its own.

    Raises OptionError.
    """

    def __init__(
        self,
        library: ModuleType,
        client_options: Mapping[str, object],
        refused: Mapping[str, str],
        limits: object = None,
    ) -> None:
        for name, remedy in refused.items():
            if name in client_options:
                raise OptionError(f"client option {name} is refused: {remedy}")
        require_kinds(client_options, KINDS)
        self._library = library
        self._options: dict[str, Any] = {"verify": library.create_ssl_context(trust_env=False), **client_options}
        if limits is not None:
            self._options["limits"] = limits
        self.make()  # what it refuses is refused now, and not by the first message

    def make(self) -> Any:
        """Return a transport, which has no connection yet."""
        try:
            return self._library.AsyncHTTPTransport(trust_env=False, retries=0, **self._options)
        except (TypeError, ImportError) as error:  # the name of an option, or what http2 needs
            raise OptionError(f"client_options are refused by httpx: {error}") from None
        except (ValueError, OSError) as error:  # whose text may hold a proxy's password
            raise OptionError(
                f"client_options are refused by httpx: a value is at fault ({type(error).__name__})"
            ) from None
