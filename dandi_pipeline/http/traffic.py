"""Counts what a client sent, received and waited for."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from threading import Lock


@dataclass(frozen=True, slots=True)
class Traffic:
    """Totals since the client was made.

    `requests` has every attempt that was sent, redirects included; `throttled` the answers that were 429;
    `bytes_received` the bodies as they travelled, compressed. `opened` connections were made, every other request
    reused one; `waited` requests were held back by the rate, and `seconds_slept` is all that was waited, between
    attempts as well. `counters` is what a platform counts beside all this, under names of its own; `hosts` has the
    same totals for each host.
    """

    requests: int = 0
    retries: int = 0
    throttled: int = 0
    bytes_received: int = 0
    opened: int = 0
    waited: int = 0
    seconds_slept: float = 0.0
    counters: Mapping[str, int] = field(default_factory=dict)
    hosts: Mapping[str, "Traffic"] = field(default_factory=dict)

    def __add__(self, other: "Traffic") -> "Traffic":
        counters = {name: self.counters.get(name, 0) + other.counters.get(name, 0) for name in _names(self, other)}
        hosts = {**self.hosts, **other.hosts}
        for host in self.hosts.keys() & other.hosts.keys():
            hosts[host] = self.hosts[host] + other.hosts[host]
        return Traffic(
            **{name: getattr(self, name) + getattr(other, name) for name in TOTALS}, counters=counters, hosts=hosts
        )

    def of_host(self, host: str) -> "Traffic":
        """Return the same as the traffic of one host."""
        return replace(self, hosts={host: self})


TOTALS = tuple(item.name for item in fields(Traffic) if item.name not in ("counters", "hosts"))
"""The names of what every client counts."""


def _names(*traffics: Traffic) -> list[str]:
    return list(dict.fromkeys(name for traffic in traffics for name in traffic.counters))


class Metrics:
    """The running totals of one client; any thread may add to them or read them."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._total = Traffic()

    def add(
        self,
        *,
        requests: int = 0,
        retries: int = 0,
        throttled: int = 0,
        bytes_received: int = 0,
        opened: int = 0,
        waited: int = 0,
        seconds_slept: float = 0.0,
    ) -> None:
        """Add to the totals, all at once."""
        self._add(Traffic(requests, retries, throttled, bytes_received, opened, waited, seconds_slept))

    def count(self, name: str, by: int = 1) -> None:
        """Add to a counter that only this platform has: it shows in reports, in the history and in Dagster."""
        self._add(Traffic(counters={name: by}))

    def snapshot(self) -> Traffic:
        """Return the totals as they are now."""
        with self._lock:
            return self._total

    def _add(self, more: Traffic) -> None:
        with self._lock:
            self._total = self._total + more
