"""The oracle: what the database says was committed, beside what a consumer read from the topic."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Hold the message ids that went wrong, and the counts of all.

    ``lost`` were committed and not delivered; ``alien`` were delivered and not committed; ``duplicated`` maps
    an id that came more than once to the number of its further copies.
    """

    name: str
    committed: int
    delivered: int
    lost: tuple[str, ...]
    duplicated: dict[str, int]
    alien: tuple[str, ...]
    seconds_to_recover: float
    out_of_order: int | None = None  # first deliveries behind a later one of their key; None: no order was promised

    @property
    def duplicates(self) -> int:
        """Return the number of copies beyond the first of each message."""
        return sum(self.duplicated.values())

    @property
    def is_clean(self) -> bool:
        """Tell whether nothing was lost, made up or out of order; duplicates are allowed."""
        return not self.lost and not self.alien and not self.out_of_order

    def as_json(self) -> str:
        """Return the counts as one line of JSON."""
        return json.dumps(self._counts())

    def __str__(self) -> str:
        counts = self._counts()
        text = "  ".join(f"{name} {value}" for name, value in counts.items() if name != "name")
        examples = "".join(
            f"\n  {kind}: {', '.join(list(ids)[:5])}"
            for kind, ids in (("lost", self.lost), ("alien", self.alien))
            if ids
        )
        return f"{self.name}: {text}{examples}"

    def _counts(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "committed": self.committed,
            "delivered": self.delivered,
            "lost": len(self.lost),
            "duplicated": self.duplicates,
            "alien": len(self.alien),
            **({} if self.out_of_order is None else {"out_of_order": self.out_of_order}),
            "seconds_to_recover": round(self.seconds_to_recover, 3),
        }


def judge(
    name: str,
    committed: Iterable[str],
    delivered: Iterable[str],
    *,
    seconds_to_recover: float = 0.0,
    out_of_order: int | None = None,
) -> Verdict:
    """Compare the ids of the committed rows with the ids of all records that were read, copies included."""
    wanted, copies = set(committed), Counter(delivered)
    return Verdict(
        name=name,
        committed=len(wanted),
        delivered=copies.total(),
        lost=tuple(sorted(wanted - copies.keys())),
        duplicated={message_id: count - 1 for message_id, count in copies.items() if count > 1},
        alien=tuple(sorted(copies.keys() - wanted)),
        seconds_to_recover=seconds_to_recover,
        out_of_order=out_of_order,
    )
