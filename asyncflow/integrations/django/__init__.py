"""Django: tasks in transaction.atomic on Django's own connection, migrations, and the commands as manage.py outbox."""

from asyncflow.extra_libraries import missing

try:
    import django  # noqa: F401
except ImportError as error:
    raise missing("django", "this integration", "django") from error

from asyncflow.integrations.django.borrowed import current_transaction
from asyncflow.integrations.django.engine import engine_of
from asyncflow.integrations.django.outbox import DjangoOutbox

__all__ = ["DjangoOutbox", "current_transaction", "engine_of"]
