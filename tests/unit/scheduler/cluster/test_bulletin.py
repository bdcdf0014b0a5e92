"""What an instance tells is written when it has changed, figures now and then, and nothing else is written."""

from __future__ import annotations

from asyncflow.scheduler.cluster.bulletin import Bulletin, ClockGap, Told


class Speaker:
    """Be an instance that tells something, and write with each renewal what is due."""

    def __init__(self) -> None:
        self.told: Told | None = Told("v1", "v1 5 rounds")
        self.bulletin = Bulletin(lambda _: self.told)

    def renew(self) -> str | None:
        due = self.bulletin.due(0.0)
        if due is not None:
            self.bulletin.note_written(due)
        return due.text if due else None


def test_the_first_renewal_tells_and_those_after_it_nothing_that_is_known() -> None:
    speaker = Speaker()
    assert [speaker.renew() for _ in range(6)] == ["v1 5 rounds", None, None, None, None, None]


def test_what_changes_is_told_with_the_next_renewal_and_figures_with_every_third() -> None:
    speaker = Speaker()
    speaker.renew()
    speaker.told = Told("v1", "v1 6 rounds")
    assert [speaker.renew() for _ in range(4)] == [None, None, "v1 6 rounds", None]
    speaker.told = Told("v1 open", "v1 open 6 rounds")
    assert speaker.renew() == "v1 open 6 rounds"


def test_what_was_not_written_is_due_again() -> None:
    speaker = Speaker()
    assert speaker.bulletin.due(0.0) is not None
    assert speaker.renew() == "v1 5 rounds"  # the first one's write failed: nobody noted it
    speaker.bulletin.forget()
    assert speaker.renew() == "v1 5 rounds"


def test_a_gap_between_clocks_is_known_but_for_round_trips_and_tremors() -> None:
    now = [1000.0]
    gap = ClockGap(lambda: now[0])
    gap.take_in(999.9, 990.0)
    assert gap.seconds_ahead == 9.9 or gap.seconds_ahead == 10.0
    first = gap.seconds_ahead
    gap.take_in(999.9, 990.1)
    assert gap.seconds_ahead == first
    gap.take_in(900.0, 500.0)  # answered after 100 s: the database's time may be of any moment of them
    assert gap.seconds_ahead == first
    gap.take_in(1000.0, 970.0)
    assert gap.seconds_ahead == 30.0
