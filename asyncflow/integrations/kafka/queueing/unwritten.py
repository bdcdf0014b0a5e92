"""What of a topic's notes is not written yet, and up to where all is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class Unwritten:
    """Know, of partitions that are ours, which notes came; an offset stands for all before it. One thread uses it."""

    def __init__(self) -> None:
        self._came: dict[int, dict[int, bool]] = {}  # by partition and offset, in order: whether it is written
        self._ends: dict[int, int] = {}

    def came(self, partition: int, offset: int) -> None:
        """Take in a note."""
        self._came.setdefault(partition, {})[offset] = False

    def written(self, partition: int, offset: int) -> None:
        """Know that a note is written; one of a partition that is another's by now is no matter of ours."""
        notes = self._came.get(partition, {})
        if offset not in notes:
            return
        notes[offset] = True
        while notes and notes[first := next(iter(notes))]:
            del notes[first]
            self._ends[partition] = first + 1

    def ends(self) -> Mapping[int, int]:
        """Return, by partition, the offset behind the last note before which all are written."""
        return dict(self._ends)

    def committed(self, ends: Mapping[int, int]) -> None:
        """Know that the group goes on there."""
        for partition, end in ends.items():
            if self._ends.get(partition) == end:
                del self._ends[partition]

    def forget(self, partitions: Sequence[int]) -> None:
        """Know nothing of partitions that have come, or are gone."""
        for partition in partitions:
            self._came.pop(partition, None)
            self._ends.pop(partition, None)
