"""QEMU's machine protocol: commands with answers, and events with the time they came."""

import collections
import json
import threading
import time

from channel import GuestError, LineChannel

Event = collections.namedtuple("Event", "time name data")


class Qmp:
    def __init__(self, name, path, hint="", timeout=15, out_of_band=False):
        """Connects and negotiates. QEMU serves one client per socket at a time. With `out_of_band` a
        command may be told to be: QEMU carries it out while its main loop waits for something."""
        self.name, self.hint = name, hint
        self._changed = threading.Condition()
        self._greeted = False
        self._answers = {}
        self._number = 0
        self.events = []  # only grows; len() of it is a mark for wait_event
        self._ended = False
        self._channel = LineChannel(f"{name}: QMP", path, self._take, self._end, hint)
        self._wait(lambda: self._greeted, timeout, "a greeting")
        self.execute("qmp_capabilities", {"enable": ["oob"]} if out_of_band else None)

    def execute(self, command, arguments=None, timeout=30, out_of_band=False):
        """The command's return value; GuestError with QEMU's own words if it fails."""
        with self._changed:
            self._number += 1
            number = self._number
        request = {"exec-oob" if out_of_band else "execute": command, "id": number}
        if arguments:
            request["arguments"] = arguments
        self._channel.send(json.dumps(request))
        self._wait(lambda: number in self._answers, timeout, f"an answer to {command}")
        answer = self._answers.pop(number)
        if "error" in answer:
            raise GuestError(f"{self.name}: QEMU refused {command}: {answer['error']['desc']}")
        return answer["return"]

    def wait_event(self, match, timeout, what, since=0):
        """The first event at or after index `since` that `match(event)` accepts."""
        found = []

        def look():
            nonlocal since
            while since < len(self.events) and not found:
                if match(self.events[since]):
                    found.append(self.events[since])
                since += 1
            return bool(found)

        self._wait(look, timeout, what)
        return found[0]

    @property
    def ended(self):
        return self._ended

    def close(self):
        self._channel.close()

    def _wait(self, done, timeout, what):
        deadline = time.monotonic() + timeout
        with self._changed:
            while not done():
                if self._ended:
                    raise GuestError(f"{self.name}: QEMU ended while we waited for {what}. "
                                     f"{self.hint}")
                left = deadline - time.monotonic()
                if left <= 0:
                    raise GuestError(f"{self.name}: no {what} within {timeout:g} s. {self.hint}")
                self._changed.wait(left)

    def _take(self, line):
        message = json.loads(line.text)
        with self._changed:
            if "QMP" in message:
                self._greeted = True
            elif "event" in message:
                self.events.append(Event(line.time, message["event"], message.get("data", {})))
            elif "id" in message:
                self._answers[message["id"]] = message
            self._changed.notify_all()

    def _end(self):
        with self._changed:
            self._ended = True
            self._changed.notify_all()
