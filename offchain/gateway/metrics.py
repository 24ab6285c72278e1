"""Prometheus metrics of one gateway, and of the publisher, in registries of their own so that tests can run several."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

__all__ = ["CONTENT_TYPE_LATEST", "Metrics"]

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


class Metrics:
    """Labels are bounded: routes by template, codes by name, never an account or a path."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self.registry = registry
        self.requests = Counter(
            "hooats_gateway_requests", "HTTP requests answered", ["route", "method", "status"], registry=registry
        )
        self.seconds = Histogram(
            "hooats_gateway_request_seconds", "Time to answer", ["route"], buckets=_SECONDS, registry=registry
        )
        self.orders = Counter("hooats_gateway_orders", "Orders answered; OK: accepted", ["code"], registry=registry)
        self.limited = Counter(
            "hooats_gateway_rate_limited", "Over a budget; ban: went on", ["limit"], registry=registry
        )
        self.connections = Gauge("hooats_gateway_connections", "Open WebSocket connections", registry=registry)
        self.http_connections = Gauge("hooats_gateway_http_connections", "Open HTTP connections", registry=registry)
        self.messages_in = Counter("hooats_gateway_messages_received", "WebSocket messages received", registry=registry)
        self.messages_out = Counter("hooats_gateway_messages_sent", "WebSocket messages sent", registry=registry)
        self.conflated = Counter("hooats_gateway_conflated", "Book messages left out for the slow", registry=registry)
        self.dropped = Counter("hooats_gateway_slow_consumers", "Connections closed as too slow", registry=registry)
        self.failures = Counter("hooats_gateway_internal_errors", "Requests that hit a bug", registry=registry)
        self.sequence = Gauge("hooats_gateway_sequence", "Last command that the publisher told of", registry=registry)
        self.live = Gauge("hooats_gateway_sequencer_live", "1 while the sequencer is connected", registry=registry)
        self.publisher = Gauge("hooats_gateway_publisher_live", "1 while the publisher is connected", registry=registry)
        self.signatures = Gauge("hooats_gateway_signatures", "Signatures looked at", registry=registry)

    def render(self) -> bytes:
        return generate_latest(self.registry)


class PublisherMetrics:
    """Labels are bounded: questions by name."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self.registry = registry
        self.sequence = Gauge("hooats_publisher_sequence", "Last command in the read model", registry=registry)
        self.live = Gauge(
            "hooats_publisher_feed_live", "1 while the feed is connected and caught up", registry=registry
        )
        self.gateways = Gauge("hooats_publisher_gateways", "Gateways connected", registry=registry)
        self.messages = Counter("hooats_publisher_messages", "Channel messages given to gateways", registry=registry)
        self.seconds = Histogram(
            "hooats_publisher_question_seconds", "Time to answer", ["question"], buckets=_SECONDS, registry=registry
        )
        self.failures = Counter("hooats_publisher_internal_errors", "Questions that hit a bug", registry=registry)
