"""What Prometheus may know: how much was asked, what became of it, how long it took, and what is under way."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from cmarr.serving.budgets import Flight

KNOWN = ("/invocations", "/predict", "/ping", "/health", "/metrics", "/model", "/docs", "/openapi.json", "/")
"""Addresses that are counted by name; what clients make up must not fill the memory."""

SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)


class Measures:
    """The figures of one server."""

    def __init__(self, flight: Flight):
        self.registry = CollectorRegistry()
        self._count = Counter(
            "cmarr_requests", "Requests that were answered.", ["path", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "cmarr_request_seconds",
            "Seconds from the header of a request to the end of its answer.",
            ["path"],
            buckets=SECONDS,
            registry=self.registry,
        )
        waiting = Gauge(
            "cmarr_waiting", "Requests that wait for the model or are worked on.", registry=self.registry
        )
        waiting.set_function(lambda: flight.waiting)
        held = Gauge("cmarr_flight_bytes", "Bytes of the requests under way.", registry=self.registry)
        held.set_function(lambda: flight.held)
        ProcessCollector(registry=self.registry)

    def note(self, path: str, status: int, seconds: float) -> None:
        """Count a request that has been answered."""
        known = path if path in KNOWN else "/page" if path.startswith("/page/") else "other"
        self._count.labels(known, str(status)).inc()
        self._seconds.labels(known).observe(seconds)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)
