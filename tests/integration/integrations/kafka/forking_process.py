"""A process that publishes, forks, and publishes on both sides: ``python -m … LIBRARY SERVERS TOPIC``.

In a process of its own, for its child runs what is registered to be run at its exit, which a test run has much of.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys

from asyncflow.scheduler.publishing.publisher import SENT
from tests.integration.integrations.kafka.adapters import CONFLUENT, KAFKA_PYTHON
from tests.integration.integrations.kafka.conftest import LASTING
from tests.integration.integrations.kafka.watching import batch
from tests.support.forking import exit_code_of
from tools.services import load

_ADAPTERS = {adapter.library: adapter for adapter in (CONFLUENT, KAFKA_PYTHON)}


def main(library: str, servers: str, topic: str) -> int:
    """Return 0 if parent, child and parent again each published 100 records."""
    adapter = _ADAPTERS[library]
    publisher = adapter.publisher(servers, LASTING, client_options={} if load().kafka_is_real else adapter.for_mock)
    if list(publisher.publish(batch(topic))) != [SENT] * 100:
        return 2
    pid = os.fork()
    if pid == 0:
        code = 3
        try:
            code = 0 if list(publisher.publish(batch(topic))) == [SENT] * 100 else 4
            publisher.close()
            gc.collect()
            atexit._run_exitfuncs()
        finally:
            os._exit(code)
    code = exit_code_of(pid)
    if code == 0 and list(publisher.publish(batch(topic))) != [SENT] * 100:
        code = 5
    publisher.close()
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
