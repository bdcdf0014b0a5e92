"""Notices: what the diagnosis finds, told once to people when it appears, is still there after hours, and clears."""

from asyncflow.scheduler.notices.notice import Cleared, Notice
from asyncflow.scheduler.notices.notifier import Channel, Notifier, NotifierSettings

__all__ = ["Channel", "Cleared", "Notice", "Notifier", "NotifierSettings"]
