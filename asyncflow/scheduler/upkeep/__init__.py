"""What runs beside the work: cleaning, and the enqueueing of periodic tasks."""
