"""A Django project; docs/django.md walks through it."""
