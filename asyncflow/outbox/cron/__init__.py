"""Crontab lines, and the due times that they name in a time zone."""
