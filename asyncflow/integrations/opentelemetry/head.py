"""The head of traces: which spans a tracer would drop, known before they are built."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from asyncflow.integrations.opentelemetry.dropped import dropped_kind
from asyncflow.integrations.opentelemetry.extras import opentelemetry

_ROOT = r"(AlwaysOnSampler|AlwaysOffSampler|TraceIdRatioBased\{([^{}]+)\})"
_BY_PARENT = re.compile(
    rf"ParentBased\{{root:{_ROOT},remoteParentSampled:AlwaysOnSampler,remoteParentNotSampled:AlwaysOffSampler,"
    r"localParentSampled:AlwaysOnSampler,localParentNotSampled:AlwaysOffSampler\}"
)
_BY_ID = re.compile(_ROOT)
_WITHIN_PARENT_BASED = 5  # for the first of a trace, and for each kind of parent
_IDS = 1 << 64  # that a ratio tells apart: it looks at the low half of a trace id
_LOW = _IDS - 1
_RANDOM = 2  # the flag of a trace id that is random
_NEVER = 1 << 62  # as many as no thread makes


class SamplingRule(NamedTuple):
    """Tell how a sampler decides: by its trace id, kept below ``bound``; and ``by_parent``, where there is one."""

    bound: int
    by_parent: bool


class HeadSampling:
    """Decide as the tracer's own sampler does, where that looks at the trace id and the parent alone.

    Nothing is built then of a span that is dropped: to ask the sampler costs several times what a message does.
    """

    def __init__(self, tracer: Any, rule: SamplingRule) -> None:
        self._tracer = tracer
        self._bound, self._by_parent = rule
        self._ids = ids = tracer.id_generator
        self.draw = ids.generate_trace_id
        self._dropped = dropped_kind()
        self._trace = opentelemetry("trace")
        # An SDK that does not tell whether ids are random, before 1.40, sets no such flag.
        self._tells_random = hasattr(ids, "is_trace_id_random")
        # Of ids that are random it is the same to draw how many are dropped, and ids to fit that.
        self.can_look_ahead = type(ids) is opentelemetry("sdk.trace.id_generator").RandomIdGenerator

    @classmethod
    def of(cls, tracer: Any) -> HeadSampling | None:
        """Return that of a tracer of the SDK; None where it is not known how it decides."""
        rule = rule_of(tracer)
        return None if rule is None else cls(tracer, rule)

    def begin(self, parent: Any) -> tuple[Any, Any]:
        """Return the tracer that is to start a span, or None and the Dropped that stands for it.

        ``parent`` is the SpanContext above it; None for the first of a trace, whose id that tracer then knows.
        """
        if parent is None:
            trace_id = self.draw()
            return (self.drawing(trace_id), None) if self.keeps(trace_id) else (None, self._dropped(self, trace_id))
        is_kept = parent.trace_flags.sampled if self._by_parent else parent.trace_id & _LOW < self._bound
        return (self._tracer, None) if is_kept else (None, self._dropped(self, parent.trace_id, parent))

    def keeps(self, trace_id: int) -> bool:
        """Tell whether the first span of a new trace is kept."""
        return trace_id & _LOW < self._bound

    def dropped_ahead(self) -> int:
        """Return how many new traces are dropped until one is kept; only where one ``can_look_ahead``."""
        if self._bound >= _IDS:
            return 0
        return int(math.log(1 - random.random()) / math.log1p(-self._bound / _IDS)) if self._bound else _NEVER

    def kept_id(self) -> int:
        """Return a trace id that is kept, random but for that; only where one ``can_look_ahead``."""
        return (random.getrandbits(64) << 64 | random.randrange(self._bound)) or self.kept_id()

    def dropped_id(self) -> int:
        """Return a trace id that is dropped, random but for that."""
        trace_id: int = self.draw()
        while self.keeps(trace_id):
            trace_id = self.draw()
        return trace_id

    def context_of(self, trace_id: int, parent: Any) -> Any:
        """Return the SpanContext of a span that is dropped."""
        is_random = self._tells_random and (parent.trace_flags & _RANDOM if parent else self._ids.is_trace_id_random())
        return self._trace.SpanContext(
            trace_id,
            self._ids.generate_span_id(),
            is_remote=False,
            trace_flags=self._trace.TraceFlags(_RANDOM if is_random else 0),
            trace_state=parent.trace_state if parent else None,
        )

    def drawing(self, trace_id: int) -> Any:
        """Return a tracer whose traces have this id: the sampler would draw another, and decide again."""
        tracer = object.__new__(type(self._tracer))  # what copy.copy does, in a tenth of its time
        vars(tracer).update(vars(self._tracer))
        tracer.id_generator = _Drawn(lambda: trace_id, self._ids)
        return tracer


class _Drawn:
    """Generate ids, of which that of the trace is drawn already."""

    def __init__(self, drawn: Callable[[], int], others: Any) -> None:
        self.generate_trace_id = drawn
        self.generate_span_id = others.generate_span_id
        self._others = others

    def __getattr__(self, name: str) -> Any:
        return getattr(self._others, name)


def rule_of(tracer: Any) -> SamplingRule | None:
    """Return by which rule a tracer of the SDK samples; None for another one, and for a sampler that nobody knows."""
    try:
        sdk, sampling = opentelemetry("sdk.trace"), opentelemetry("sdk.trace.sampling")
    except Exception:  # noqa: BLE001 - the API alone, or an SDK that is broken: the tracer is asked as it is
        return None
    sampler = getattr(tracer, "sampler", None)
    if type(tracer) is not sdk.Tracer or sampler is None or _is_counted(tracer) or not _is_of_sdk(sampler, sampling):
        return None
    told = sampler.get_description()
    if found := _BY_PARENT.fullmatch(told):
        return SamplingRule(_bound_of(found, sampling), by_parent=True)
    found = _BY_ID.fullmatch(told)
    return None if found is None else SamplingRule(_bound_of(found, sampling), by_parent=False)


def _is_of_sdk(sampler: Any, sampling: Any) -> bool:
    """Tell whether a sampler and those in it are the SDK's own: a class made of one tells the same, and may do else."""
    within = [one for one in vars(sampler).values() if isinstance(one, sampling.Sampler)]
    if isinstance(sampler, sampling.ParentBased) and len(within) != _WITHIN_PARENT_BASED:
        return False
    return all(type(one).__module__ == sampling.__name__ for one in (sampler, *within))


def _bound_of(found: re.Match[str], sampling: Any) -> int:
    if found[2] is None:
        return _IDS if found[1] == "AlwaysOnSampler" else 0
    bound: int = sampling.TraceIdRatioBased.get_bound_for_rate(float(found[2]))
    return bound


def _is_counted(tracer: Any) -> bool:
    """Tell whether the tracer does more than to make spans: it is off, or the SDK counts what it drops."""
    is_enabled = getattr(tracer, "_is_enabled", None)
    counts = getattr(tracer, "_tracer_metrics", None)
    is_off = is_enabled is not None and not is_enabled()
    return is_off or (counts is not None and not type(counts).__name__.startswith("NoOp"))
