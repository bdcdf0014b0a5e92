"""What is acknowledged of a batch, by the numbers at the end of the subjects of the answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from asyncflow.integrations.nats.messages import NatsMessage
from asyncflow.scheduler.publishing.publisher import Rejected
from asyncflow.scheduler.publishing.sessions.suspects import Judgement, Suspect


class Acks:
    """Know what became of the messages of one batch; changed by the thread of its publisher alone.

    Numbers go on from batch to batch, so that a late answer is none for another message.
    """

    def __init__(self, messages: Mapping[int, NatsMessage], last_number: int) -> None:
        self.outcomes: dict[int, Judgement] = {}  # by the message's place in its batch
        self.unheard: dict[int, str] = {}  # subjects that nobody listens to, by places
        self.pending = dict(enumerate(messages, last_number + 1))  # places by numbers
        self.last_number = last_number + len(messages)
        self._messages = messages

    def numbered(self) -> Iterator[tuple[int, NatsMessage]]:
        """Yield what is to be sent, in its order, with the numbers of the answers."""
        for number, place in list(self.pending.items()):
            yield number, self._messages[place]

    def settle(self, number: int, judgement: Judgement) -> None:
        """Know the answer; the first counts."""
        place = self.pending.pop(number, None)
        if place is not None:
            self.outcomes[place] = judgement

    def miss(self, number: int) -> None:
        """Know that nobody listens to the message's subject."""
        place = self.pending.pop(number, None)
        if place is not None:
            self.unheard[place] = self._messages[place].subject

    def forbid(self, subject: str, error: str) -> None:
        """Reject what is pending for a subject, which is told in small letters: so another may be meant."""
        numbers = [number for number, place in self.pending.items() if self._subject(place).lower() == subject]
        named = {self._subject(self.pending[number]) for number in numbers}
        judgement = Rejected(error) if len(named) == 1 else Suspect(error)
        for number in numbers:
            self.settle(number, judgement)

    def silent(self) -> dict[int, str]:
        """Return the subjects of what nobody has answered, by places."""
        return {place: self._subject(place) for place in self.pending.values()}

    def _subject(self, place: int) -> str:
        return self._messages[place].subject
