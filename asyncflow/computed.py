"""What is computed where somebody asks for it first."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")


class computed_once(Generic[T]):  # noqa: N801 - it is used as property is
    """Be a property that is computed at the first look, and kept in the object; of two threads each may compute it.

    That of functools computes, up to Python 3.11, under a lock that all objects of a class share: who takes long holds
    up all others, and in the child of a fork a thread of the parent may hold it for ever.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type[Any]) -> T: ...

    def __get__(self, instance: Any, owner: type[Any]) -> Any:
        if instance is None:
            return self
        computed = instance.__dict__[self._name] = self._compute(instance)
        return computed
