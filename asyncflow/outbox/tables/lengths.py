"""How long texts in the tables may be, and what else the columns decide for who writes them."""

TASK_TYPE_LENGTH = 100
KEY_LENGTH = 255
OWNER_LENGTH = 120
JOB_LENGTH = 100
CONSUMER_LENGTH = 100
MESSAGE_ID_LENGTH = 255
SCHEDULE_LOG_LENGTH = 2000
STAGE_LENGTH = 100
RESULT_STAGE = "@result"  # of a task that is done: its context is what the handler returned
OVERFLOWN = "@"  # no JSON text begins so
MOST_CONTEXT_ROW_BYTES = 65_000  # MySQL's TEXT ends at 65,535
ACTOR_LENGTH = 120
ACTION_LENGTH = 20
REASON_LENGTH = 500
PERIODIC_NAME_LENGTH = 100
CRON_LENGTH = 200
TIMEZONE_LENGTH = 64
WORKER_COLUMNS = frozenset({"stage", "context", "owner", "claim_token"})  # an enqueue leaves them out
