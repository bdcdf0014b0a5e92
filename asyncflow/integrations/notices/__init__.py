"""Where notices go: a webhook, e-mail, and the chats Slack, DingTalk and WeCom; with Python's own libraries alone."""

from asyncflow.integrations.notices.chats import DingTalk, Slack, WeCom
from asyncflow.integrations.notices.email import Email
from asyncflow.integrations.notices.targets import channel_at
from asyncflow.integrations.notices.webhook import Webhook

__all__ = ["DingTalk", "Email", "Slack", "WeCom", "Webhook", "channel_at"]
