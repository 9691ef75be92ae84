"""What the guest has promised, as seen from outside.

The guest says on ttyS2 when a record's fsync has returned ("DISK SEQUENCE"). From that moment the
record must never be missing, whatever becomes of the guest: the witness keeps the newest promise of
each disk, for the check at the end to be held to. And because its clock does not stop with the
guest, the time between two promises is the pause a user of the guest would have noticed.
"""

import collections
import re
import threading
import time

from channel import GuestError, LineChannel

# ms between two promises; `before` and `after` are their sequences, `start`, `end` monotonic times,
# `machines` who said them (two different ones: the guest moved in between).
Gap = collections.namedtuple("Gap", "ms disk before after start end machines")

_PROMISE = re.compile(r"(vd[a-z]) (\d+)")
GAPS_KEPT = 50


class _Disk:
    def __init__(self):
        self.sequence = 0
        self.time = 0.0
        self.machine = None
        self.gaps = []  # the largest ones


class Witness:
    def __init__(self, on_gap=None, on_all_ended=None):
        """`on_gap(Gap)` is called for every gap, `on_all_ended()` when no watched machine is left;
        both in a reader thread."""
        self._on_gap, self._on_all_ended = on_gap, on_all_ended
        self._changed = threading.Condition()
        self._disks = collections.defaultdict(_Disk)
        self._channels = []
        self.contradictions = []  # promises that went backwards: two guests are running

    def watch(self, machine):
        """Listens to a machine until it ends. Do so before the guest can run there."""
        channel = LineChannel(f"{machine.name}: acks", machine.path("acks"),
                              lambda line: self._hear(machine.name, line), self._end,
                              hint=machine.hint)
        self._channels.append(channel)

    def acknowledged(self):
        """{disk: newest promised sequence}"""
        with self._changed:
            return self._sequences()

    def wait_more(self, count, timeout=60):
        """Returns when each disk that was heard of has `count` more promises."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._disks, timeout):
                raise GuestError(f"the guest acknowledged no record within {timeout:g} s")
            goals = {name: disk.sequence + count for name, disk in self._disks.items()}
        self.wait_until(goals, timeout)

    def wait_until(self, goals, timeout=60):
        """Returns when each disk of {disk: sequence} has come that far. Promises are still under
        way for a moment after the guest has said by another channel that it made them."""
        def reached():
            return all(self._disks[name].sequence >= goal for name, goal in goals.items())

        with self._changed:
            if not self._changed.wait_for(reached, timeout):
                raise GuestError(f"the guest did not acknowledge {goals} within {timeout:g} s; "
                                 f"it is at {self._sequences()}")

    def restart(self):
        """The next promise of each disk follows a pause of our own making: it ends no gap."""
        with self._changed:
            for disk in self._disks.values():
                disk.time = 0.0

    def gaps(self, since=0.0, until=float("inf")):
        """The largest gaps that touch the given time, largest first."""
        with self._changed:
            found = [gap for disk in self._disks.values() for gap in disk.gaps
                     if gap.end >= since and gap.start <= until]
        return sorted(found, reverse=True)

    def silence(self):
        """Seconds since the last promise of the disk that was silent for longest."""
        now = time.monotonic()
        with self._changed:
            return max((now - disk.time for disk in self._disks.values() if disk.time), default=0.0)

    def close(self):
        for channel in self._channels:
            channel.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _sequences(self):
        return {name: disk.sequence for name, disk in self._disks.items()}

    def _end(self):
        if self._on_all_ended and all(channel.ended for channel in self._channels):
            self._on_all_ended()

    def _hear(self, machine, line):
        match = _PROMISE.fullmatch(line.text)
        if not match:
            return  # a first half, of a guest that was killed
        name, sequence = match[1], int(match[2])
        with self._changed:
            disk = self._disks[name]
            if sequence <= disk.sequence:
                self.contradictions.append(
                    f"{machine} acknowledged record {sequence} of {name} after {disk.machine} had "
                    f"acknowledged {disk.sequence}")
            elif disk.time:
                self._note(disk, Gap((line.time - disk.time) * 1000, name, disk.sequence, sequence,
                                     disk.time, line.time, (disk.machine, machine)))
            disk.sequence = max(sequence, disk.sequence)
            disk.time, disk.machine = line.time, machine
            self._changed.notify_all()

    def _note(self, disk, gap):
        disk.gaps.append(gap)
        if len(disk.gaps) > 2 * GAPS_KEPT:
            disk.gaps = sorted(disk.gaps, reverse=True)[:GAPS_KEPT]
        if self._on_gap:
            self._on_gap(gap)
