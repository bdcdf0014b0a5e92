"""What an application declares: task types, handlers, retries, periodic tasks."""
