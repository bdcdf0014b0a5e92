"""Index messages in OpenSearch by the bulk API through httpx: outcomes of tasks above all.

The client library is imported when a publisher is made, not when this package is.
"""

from __future__ import annotations

from asyncflow.integrations.opensearch.publisher import OpenSearchPublisher
from asyncflow.integrations.opensearch.settings import OpenSearchSettings
from asyncflow.integrations.opensearch.template import outcome_template

__all__ = ["OpenSearchPublisher", "OpenSearchSettings", "outcome_template"]
