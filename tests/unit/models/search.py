"""A search through all the states of a model: what must not happen in any, and what must stay possible from each."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

StateT = TypeVar("StateT", bound=Hashable)


class Model(Protocol[StateT]):
    """Describe a system by its states, each a value that is never changed."""

    def initial(self) -> StateT:
        """Return the state in which all begins."""
        ...

    def steps(self, state: StateT) -> Iterable[tuple[str, StateT]]:
        """Return what may happen next, by name, with the state after it."""
        ...

    def faults(self, state: StateT) -> Iterable[str]:
        """Return what is wrong in a state."""
        ...

    def is_goal(self, state: StateT) -> bool:
        """Tell whether all is done: such a state must stay within reach."""
        ...


@dataclass(frozen=True)
class Search(Generic[StateT]):
    """Tell what was found: how many states there are, and the shortest way to the first fault, if any."""

    states: int
    fault: str | None = None
    way: tuple[str, ...] = ()


def search(model: Model[StateT], most_states: int = 2_000_000) -> Search[StateT]:
    """Go through all states that can be reached, breadth first; raises OverflowError for more than ``most_states``.

    A fault is one that the model names, or a state from which no goal can be reached any more.
    """
    first = model.initial()
    came_by: dict[StateT, tuple[StateT, str] | None] = {first: None}
    came_from: dict[StateT, list[StateT]] = {first: []}
    goals: list[StateT] = []
    waiting = deque([first])
    while waiting:
        state = waiting.popleft()
        for fault in model.faults(state):
            return Search(len(came_by), fault, _way(came_by, state))
        if model.is_goal(state):
            goals.append(state)
        for name, following in model.steps(state):
            if following not in came_by:
                if len(came_by) >= most_states:
                    raise OverflowError(f"there are more than {most_states} states")
                came_by[following] = (state, name)
                came_from[following] = []
                waiting.append(following)
            came_from[following].append(state)
    hopeless = came_by.keys() - _that_lead_to(goals, came_from)
    for state in came_by:  # in the order in which they were found: the first one has the shortest way
        if state in hopeless:
            return Search(len(came_by), "nothing leads to the end any more", _way(came_by, state))
    return Search(len(came_by))


def _that_lead_to(goals: Iterable[StateT], came_from: dict[StateT, list[StateT]]) -> set[StateT]:
    reached = set(goals)
    waiting = list(reached)
    while waiting:
        for before in came_from[waiting.pop()]:
            if before not in reached:
                reached.add(before)
                waiting.append(before)
    return reached


def _way(came_by: dict[StateT, tuple[StateT, str] | None], state: StateT) -> tuple[str, ...]:
    names: list[str] = []
    while (step := came_by[state]) is not None:
        state, name = step
        names.append(name)
    return tuple(reversed(names))
