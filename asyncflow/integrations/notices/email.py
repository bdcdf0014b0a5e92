"""E-mail over SMTP."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

from asyncflow.errors import NoticeNotSentError, OptionError
from asyncflow.integrations.notices.posting import TIMEOUT_SECONDS
from asyncflow.scheduler.notices import Notice
from asyncflow.text import printable, shown

_SECURITIES = ("none", "starttls", "tls")
_LONGEST_SUBJECT = 200


@dataclass(frozen=True, kw_only=True)
class Email:
    """Be a channel that sends e-mail; ``security`` is none, starttls or tls from the start. Raises OptionError."""

    host: str
    sender: str
    to: Sequence[str]
    port: int = 25
    security: str = "none"
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.security not in _SECURITIES:
            raise OptionError(f"security of e-mail is {shown(self.security)}; give one of {', '.join(_SECURITIES)}")
        if isinstance(self.to, str) or not self.to:
            raise OptionError(f"to of e-mail is {shown(self.to)}; give a list of addresses")
        for address in (self.sender, *self.to):
            if not isinstance(address, str) or "@" not in address or not address.isprintable():
                raise OptionError(f"{shown(address)} is no address of e-mail; give name@host")
        if self.password is not None and self.security == "none":
            raise OptionError("a password of e-mail would go in the clear; give security starttls or tls")

    def send(self, notice: Notice) -> None:
        """Send it; raises NoticeNotSentError."""
        try:
            with self._connected() as server:
                if self.user is not None:
                    server.login(self.user, self.password or "")
                server.send_message(self._message(notice))
        except smtplib.SMTPResponseException as error:
            raise NoticeNotSentError(f"{self.host} answered with {error.smtp_code}") from None
        except smtplib.SMTPRecipientsRefused as error:
            raise NoticeNotSentError(f"{self.host} refused {', '.join(error.recipients)}") from None
        except (OSError, smtplib.SMTPException) as error:
            raise NoticeNotSentError(f"{self.host} was not reached: {printable(error)}") from None

    def _connected(self) -> smtplib.SMTP:
        if self.security == "tls":
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(self.host, self.port, timeout=TIMEOUT_SECONDS, context=context)
        server = smtplib.SMTP(self.host, self.port, timeout=TIMEOUT_SECONDS)
        if self.security == "starttls":
            server.starttls(context=ssl.create_default_context())
        return server

    def _message(self, notice: Notice) -> EmailMessage:
        message = EmailMessage()
        message["Subject"] = printable(notice.title)[:_LONGEST_SUBJECT]
        message["From"], message["To"] = self.sender, ", ".join(self.to)
        message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain=self.sender.rpartition("@")[2])
        message["Auto-Submitted"] = "auto-generated"  # nobody on holiday answers it
        message.set_content("\n".join(notice.lines()))
        return message
