"""Moves a running guest from one QEMU to another, with a gate for the storage in between.

The order is the one in which the disk must change hands: the source stops its guest, drains and
flushes (pre-switchover); whoever calls moves the right to write; only then may the destination run.
"""

import collections
import time

from channel import GuestError

# Times in ms. `stopped`: from the source's STOP to the destination's RESUME; `gate`: the part of it
# that QEMU waited at pre-switchover, which is the storage's; `stop_time`, `resume_time` on the
# monotonic clock; `ram_mib` None if the source was gone before it could be asked.
Move = collections.namedtuple("Move", "total stopped gate ram_mib stop_time resume_time")


class MigrationFailed(GuestError):
    """`source_resumed`: the guest goes on at the source (or never stopped there)."""

    def __init__(self, text, source_resumed):
        super().__init__(text)
        self.source_resumed = source_resumed


class MoveObserver:
    """Takes the times of one migration, whoever coordinates it. Make it before the migration is
    asked for, finish() it afterwards."""

    def __init__(self, source, destination):
        self._source, self._destination = source, destination
        self._started = time.monotonic()
        self._mark = len(source.qmp.events)
        self._destination_mark = len(destination.qmp.events)

    def wait_status(self, wanted, timeout, gate_passed=False):
        """Until the source's migration is `wanted`. `gate_passed`: the destination may run."""
        ends = {wanted, "completed", "failed", "cancelled"}
        event = self._source.qmp.wait_event(
            lambda event: event.name == "MIGRATION" and event.data["status"] in ends, timeout,
            f"migration status {wanted}", self._mark)
        if event.data["status"] != wanted:
            self._fail(event.data["status"], wanted, gate_passed)

    def finish(self, timeout=60):
        """The Move, once the guest runs at the destination."""
        resume = self._destination.qmp.wait_event(
            lambda event: event.name == "RESUME", timeout, "event RESUME at the destination",
            self._destination_mark)
        self.wait_status("completed", timeout, gate_passed=True)
        events = self._source.qmp.events[self._mark:]
        stop = [event for event in events if event.name == "STOP"][-1]
        states = [event for event in events if event.name == "MIGRATION"]
        gate = 0.0
        for state, following in zip(states, states[1:]):
            if state.data["status"] == "pre-switchover":
                gate = (following.time - state.time) * 1000
        return Move((resume.time - self._started) * 1000, (resume.time - stop.time) * 1000, gate,
                    self._ram_mib(), stop.time, resume.time)

    def _ram_mib(self):
        try:
            return self._source.qmp.execute("query-migrate")["ram"]["transferred"] / 2**20
        except (GuestError, KeyError):
            return None

    def _fail(self, status, wanted, gate_passed):
        reason = self._source.qmp.execute("query-migrate").get("error-desc", "no reason given")
        # A source that failed after the gate has resumed by itself; if the destination runs too,
        # only the storage can tell the two apart.
        destination = self._destination
        both = gate_passed and not destination.qmp.ended and destination.running()
        raise MigrationFailed(
            f"migration {self._source.name} to {destination.name}: {status} instead of {wanted} "
            f"({reason}){'; the destination runs' if both else ''}", source_resumed=not both)


def migrate(source, destination, at_switchover=None, uri=None, timeout=120):
    """Migrates the guest of `source` to `destination` (started with incoming=True).

    `at_switchover()` is called while no guest runs and the source has flushed. If it raises, the
    migration is cancelled and the source's guest goes on: whatever it did with the storage must be
    undone when it raises. `uri`: QEMU's migration address, both ends; default a unix socket.

    Returns a Move once the guest runs at the destination. The source's QEMU then still runs,
    stopped; the caller ends it (quit). After MigrationFailed the destination is of no further use.
    """
    socket = destination.path("migration")
    uri = uri or f"unix:{socket}"
    try:
        _prepare(source, destination, uri)
        observer = MoveObserver(source, destination)
        source.qmp.execute("migrate", {"uri": uri})
        observer.wait_status("pre-switchover", timeout)
        _pass_gate(source, destination, at_switchover)
        source.qmp.execute("migrate-continue", {"state": "pre-switchover"})
        observer.wait_status("completed", timeout, gate_passed=True)
        return observer.finish()
    finally:
        socket.unlink(missing_ok=True)


def _prepare(source, destination, uri):
    def capabilities(*names):
        return {"capabilities": [{"capability": name, "state": True} for name in names]}

    source.qmp.execute("migrate-set-capabilities",
                       capabilities("events", "pause-before-switchover", "return-path"))
    destination.qmp.execute("migrate-set-capabilities",
                            capabilities("events", "return-path", "late-block-activate"))
    destination.qmp.execute("migrate-incoming", {"uri": uri})


def _pass_gate(source, destination, at_switchover):
    """Runs the caller's part; if it raises, so do we, once the source's guest runs again."""
    try:
        if at_switchover:
            at_switchover()
        # The source does not notice a destination that dies in this phase.
        destination.qmp.execute("query-status", timeout=5)
    except BaseException:
        mark = len(source.qmp.events)
        source.qmp.execute("migrate_cancel")
        source.qmp.wait_event(lambda event: event.name == "RESUME", 30,
                              "event RESUME at the source after cancelling", mark)
        raise
