"""Django: tasks in transaction.atomic on Django's own connection, migrations, and the commands as manage.py outbox."""

from asyncflow.errors import MissingExtraError

try:
    import django  # noqa: F401
except ImportError as error:
    raise MissingExtraError(
        'this integration needs django, which is not installed: pip install "asyncflow-outbox[django]"'
    ) from error

from asyncflow.integrations.django.borrowed import current_transaction
from asyncflow.integrations.django.engine import engine_of
from asyncflow.integrations.django.outbox import DjangoOutbox

__all__ = ["DjangoOutbox", "current_transaction", "engine_of"]
