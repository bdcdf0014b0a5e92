"""The shop, an application of Django's."""
