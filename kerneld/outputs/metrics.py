"""Figures to the text that Prometheus scrapes. Labels are bounded: causes, states, sources."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from kerneld.model.figures import Figures
from kerneld.model.living import VERDICT_BOUNDS_S, DaemonState, VerdictDelays
from kerneld.model.vocabulary import Category, Cause
from kerneld.outputs.safe import safe_text

STATES = ("starting", "idle", "busy", "unknown")


@dataclass(frozen=True, slots=True)
class Exposition:
    """text, and the content type under which it has to be served."""

    text: str
    content_type: str


def exposition(figures: Figures, accept: str = "") -> Exposition:
    """Every metric. accept: the Accept header of who asks; OpenMetrics is told to who can read it."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(figures))
    encode, content_type = choose_encoder(accept)
    return Exposition(encode(registry).decode(), content_type)


class _Collected(Collector):
    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        figures = self._figures
        yield _incidents(figures)
        if figures.users:
            yield _users(figures)
        up = "1 while the recorder runs; without it the metrics about it and the kernels are absent."
        yield GaugeMetricFamily("kerneld_up", up, value=float(figures.daemon is not None))
        if figures.daemon is not None:
            yield _kernels(figures)
            yield from _daemon(figures.daemon)
            yield from _sources(figures.daemon)


def _incidents(figures: Figures) -> Metric:
    """Every cause is told from the start: a series that begins with its first 1 shows no increase."""
    family = CounterMetricFamily(
        "kerneld_incidents",
        "Settled incidents by the cause that they first settled with.",
        labels=("category", "cause"),
    )
    for cause in Cause:
        if cause.category is not Category.REQUESTED:
            family.add_metric((cause.category.value, cause.value), figures.incidents.get(cause, 0))
    return family


def _users(figures: Figures) -> Metric:
    family = CounterMetricFamily(
        "kerneld_user_incidents",
        "Settled incidents by user, of the users with most.",
        labels=("user", "category"),
    )
    for (user, category), count in figures.users.items():
        family.add_metric((safe_text(user), category.value), count)
    return family


def _kernels(figures: Figures) -> Metric:
    family = GaugeMetricFamily("kerneld_kernels", "Kernels that are watched now.", labels=("state",))
    for state in STATES:
        family.add_metric((state,), figures.kernels.get(state, 0))
    return family


def _daemon(daemon: DaemonState) -> Iterator[Metric]:
    yield InfoMetricFamily(
        "kerneld_recorder",
        "The recorder that runs.",
        value={"version": daemon.version, "mode": daemon.mode.value},
    )
    yield GaugeMetricFamily(
        "kerneld_start_time_seconds",
        "When the recorder started, in seconds since the epoch.",
        value=daemon.started_at.timestamp(),
    )
    lag = "How much later than due the recorder's last round came: as long do facts wait."
    yield GaugeMetricFamily("kerneld_lag_seconds", lag, value=daemon.lag_s)
    unsaved = "Ends that wait for the database to take them."
    yield GaugeMetricFamily("kerneld_unsaved_ends", unsaved, value=daemon.unsaved)
    yield _delays(daemon.verdict_delays)


def _delays(delays: VerdictDelays) -> Metric:
    """le is cumulative: at most so many seconds."""
    bounds = [*map(str, VERDICT_BOUNDS_S), "+Inf"]
    family = HistogramMetricFamily(
        "kerneld_verdict_delay_seconds",
        "From each observed death to its stored first verdict, since the recorder's start.",
    )
    family.add_metric((), list(zip(bounds, accumulate(delays.counts), strict=True)), delays.sum_s)
    return family


def _sources(daemon: DaemonState) -> Iterator[Metric]:
    up = GaugeMetricFamily(
        "kerneld_source_up", "1 while this source of evidence can be read.", labels=("source",)
    )
    lost = CounterMetricFamily(
        "kerneld_lost_facts",
        "Facts that this source dropped, since the recorder's start.",
        labels=("source",),
    )
    for source in daemon.sources:
        up.add_metric((source.name,), float(source.up))
        lost.add_metric((source.name,), source.lost)
    yield up
    yield lost
