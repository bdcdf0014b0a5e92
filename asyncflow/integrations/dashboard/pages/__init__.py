"""The pages and the forms of the dashboard, a module for each thing that a person looks at."""

from asyncflow.integrations.dashboard.pages.all_pages import deeds, pages

__all__ = ["deeds", "pages"]
