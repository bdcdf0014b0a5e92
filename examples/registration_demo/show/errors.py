"""What ends the show early; the message says what to do."""

from __future__ import annotations


class ShowError(Exception):
    """The show cannot begin or cannot go on."""
