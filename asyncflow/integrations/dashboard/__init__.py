"""The dashboard: one page that says what is stuck, why, and what mends it; mounted anywhere, or alone."""

from asyncflow.integrations.dashboard.extras import require_extra

require_extra()

from asyncflow.integrations.dashboard.dashboard import Dashboard  # noqa: E402 - what is missing is told first
from asyncflow.integrations.dashboard.door.person import Person, Role  # noqa: E402
from asyncflow.integrations.dashboard.door.proxy import TrustedProxy  # noqa: E402
from asyncflow.integrations.dashboard.door.users_file import UsersFile  # noqa: E402
from asyncflow.integrations.dashboard.redaction import Redaction  # noqa: E402
from asyncflow.integrations.dashboard.settings import DashboardSettings  # noqa: E402

__all__ = ["Dashboard", "DashboardSettings", "Person", "Redaction", "Role", "TrustedProxy", "UsersFile"]
