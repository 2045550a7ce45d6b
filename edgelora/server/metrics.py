"""What a server has done, as Prometheus reads it.

Source: prometheus.io/docs/instrumenting/exposition_formats, version 0.0.4.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from edgelora.types import EngineStats, Finished

TTFT_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_Labels = tuple[tuple[str, str], ...]
_Sample = tuple[str, _Labels, float]


@dataclass
class Histogram:
    """Seconds, counted by the smallest bucket that holds them."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(TTFT_BUCKETS) + 1))
    total: float = 0.0

    def note(self, seconds: float) -> None:
        """One more."""
        self.counts[bisect_left(TTFT_BUCKETS, seconds)] += 1
        self.total += seconds

    def samples(self, labels: _Labels) -> Iterator[_Sample]:
        """Cumulative buckets, sum and count."""
        below = 0
        for bucket, count in zip((*map(str, TTFT_BUCKETS), "+Inf"), self.counts, strict=True):
            below += count
            yield "_bucket", (*labels, ("le", bucket)), below
        yield "_sum", labels, self.total
        yield "_count", labels, below


class Metrics:
    """Counts by adapter; ``base`` is the name of answers without any. A mixture counts for each of its adapters."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str]] = Counter()  # adapter, how they ended
        self.prompt_tokens: Counter[str] = Counter()
        self.completion_tokens: Counter[str] = Counter()
        self.cold_loads: Counter[str] = Counter()
        self.evictions: Counter[str] = Counter()
        self.ttft: dict[str, Histogram] = {}
        self.refused = 0
        self.engine_restarts = 0
        self.baked_requests: Counter[str] = Counter()  # by selection, as text
        self.fallen_back: Counter[str] = Counter()

    def note_end(self, adapters: Sequence[str], how: str, made: Finished | None = None) -> None:
        """An answer under ``adapters`` has ended: "stop", "length", "cancelled", "failed", "embedded"."""
        for name in adapters or ("base",):
            self.requests[name, how] += 1
            if made:
                self.prompt_tokens[name] += made.prompt_tokens
                self.completion_tokens[name] += made.completion_tokens
                if made.completion_tokens:
                    self.ttft.setdefault(name, Histogram()).note(made.ttft_ms / 1e3)

    def exposition(
        self,
        stats: EngineStats,
        shows: Callable[[str], bool] = lambda name: True,
        hot: Sequence[Mapping[str, Any]] = (),
    ) -> str:
        """All of it, with the engine's numbers of this moment; of adapters those that ``shows`` says so of, and of
        selections to be baked those in ``hot`` (:meth:`edgelora.server.hot.HotSelections.listed`)."""
        return "".join([*self._counters(shows), *self._baked(hot), *_gauges(stats)])

    def _baked(self, hot: Sequence[Mapping[str, Any]]) -> Iterator[str]:
        states = [
            ("", (("selection", one["selection"]), ("state", one["state"])), int(one["mode"] == "baked")) for one in hot
        ]
        yield _family("baked", "gauge", "Selections to be served baked; 1 where they are.", states)
        for name, counts, says in (
            ("baked_requests_total", self.baked_requests, "Requests that a baked base answers."),
            ("fallback_requests_total", self.fallen_back, "Requests at run time for what is to be served baked."),
        ):
            texts = [one["selection"] for one in hot if one["selection"] in counts]
            yield _family(name, "counter", says, [("", (("selection", text),), counts[text]) for text in texts])

    def _counters(self, shows: Callable[[str], bool]) -> Iterator[str]:
        counted = ((name, how, count) for (name, how), count in self.requests.items() if shows(name))
        ends = [("", (("adapter", name), ("reason", how)), count) for name, how, count in counted]
        yield _family("requests_total", "counter", "Answers by adapter and how they ended.", ends)
        for name, counts, says in (
            ("prompt_tokens_total", self.prompt_tokens, "Tokens of prompts."),
            ("completion_tokens_total", self.completion_tokens, "Tokens of answers."),
            ("cold_loads_total", self.cold_loads, "Times that an adapter became resident."),
            ("evictions_total", self.evictions, "Times that an adapter made room."),
        ):
            shown = [("", (("adapter", key),), n) for key, n in counts.items() if shows(key)]
            yield _family(name, "counter", says, shown)
        listed = [(name, one) for name, one in self.ttft.items() if shows(name)]
        ttft = [sample for name, one in listed for sample in one.samples((("adapter", name),))]
        yield _family("time_to_first_token_seconds", "histogram", "From submission to the first token.", ttft)
        yield _family("requests_refused_total", "counter", "Requests that found the queue full.", _one(self.refused))
        yield _family("engine_restarts_total", "counter", "Engine processes replaced.", _one(self.engine_restarts))


def _gauges(stats: EngineStats) -> Iterator[str]:
    for name, value, says in (
        ("requests_running", stats.running, "Requests that compute."),
        ("requests_waiting", stats.waiting, "Requests in the queue."),
        ("adapters_resident", stats.resident, "Adapters that an answer can use in the next step."),
        ("adapters_acquired", stats.acquired, "Adapters of running requests, each time; 0 where none runs."),
        ("adapters_prepared", stats.prepared, "Adapters ready in the second tier."),
        ("weights_bytes", stats.weights_bytes, "The base."),
        ("kv_bytes", stats.kv_bytes, "The KV cache."),
        ("pool_bytes", stats.pool_bytes, "Resident adapters."),
        ("prepared_bytes", stats.prepared_bytes, "The second tier."),
        ("parked_bytes", stats.kv.parked_bytes, "Conversations parked in memory."),
        ("kv_hits", stats.kv.hits, "Requests that found some of their prompt computed."),
        ("kv_misses", stats.kv.misses, "Requests that did not."),
        ("kv_shared", stats.kv.shared, "Prefixes taken from another sequence."),
        ("kv_restored", stats.kv.restored, "Parked conversations restored."),
        ("cold_load_p95_milliseconds", stats.load_ms_p95, "Of the last thousand."),
    ):
        yield _family(name, "gauge", says, _one(value))


def _one(value: float) -> list[_Sample]:
    return [("", (), value)]


def _family(name: str, kind: str, says: str, samples: Iterable[_Sample]) -> str:
    full = f"edgelora_{name}"
    lines = [f"{full}{suffix}{_labels(labels)} {_number(value)}" for suffix, labels, value in samples]
    return "\n".join([f"# HELP {full} {says}", f"# TYPE {full} {kind}", *lines, ""])


def _labels(labels: _Labels) -> str:
    """In braces, escaped."""
    written = (f'{key}="{_escaped(value)}"' for key, value in labels)
    return f"{{{','.join(written)}}}" if labels else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else repr(float(value))
