"""A socket that carries lines, read by a thread of its own.

Contract: every line gets the host's monotonic time of its arrival, which is what pauses are
measured with. Waiting is for a line (or the end of the socket), always with a deadline, and never
by polling. The reader thread drains the socket also while nobody waits, so that a guest which talks
much is never held up by us.
"""

import collections
import socket
import threading
import time

Line = collections.namedtuple("Line", "time text")


class GuestError(Exception):
    """Something about the guest or its QEMU is not as it must be; the text says what to do."""


class LineChannel:
    def __init__(self, name, path, on_line=None, on_end=None, hint=""):
        """Connects to the unix socket `path`, which must be listening already.

        `name` and `hint` (say, where a log is) appear in errors. `on_line(Line)` is called in the
        reader thread for every line, and the lines are then not kept; without it they are kept
        until the channel is closed. `on_end()` is called there once, after the last line.
        """
        self.name, self.hint = name, hint
        self._lines = []
        self._ended = False
        self._on_line, self._on_end = on_line, on_end
        self._changed = threading.Condition()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise GuestError(f"{name}: cannot connect to {path} ({error.strerror}); "
                             f"is that QEMU still running? {hint}") from error
        self._thread = threading.Thread(target=self._read, name=name, daemon=True)
        self._thread.start()

    def send(self, text):
        try:
            self._socket.sendall(text.encode() + b"\n")
        except OSError as error:
            raise GuestError(f"{self.name}: cannot send {text!r} ({error.strerror}). "
                             f"{self.hint}") from error

    def wait(self, match, timeout, what):
        """The first kept line whose text `match` accepts. `what` names it in the error."""
        deadline = time.monotonic() + timeout
        seen = 0
        with self._changed:
            while True:
                for line in self._lines[seen:]:
                    if match(line.text):
                        return line
                seen = len(self._lines)
                if self._ended:
                    raise GuestError(f"{self.name}: closed while waiting for {what}. {self.hint}")
                if not self._changed.wait(deadline - time.monotonic()):
                    if time.monotonic() >= deadline:
                        raise GuestError(f"{self.name}: no {what} within {timeout:g} s. "
                                         f"{self.hint}")

    @property
    def ended(self):
        return self._ended

    def close(self):
        try:
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the reader
        except OSError:
            pass  # the other side was first
        if self._thread is not threading.current_thread():
            self._thread.join(5)
        self._socket.close()

    def _read(self):
        rest = b""
        while True:
            try:
                piece = self._socket.recv(65536)
            except OSError:
                piece = b""
            now = time.monotonic()
            *lines, rest = (rest + piece).split(b"\n")
            for raw in lines:
                self._take(Line(now, raw.decode(errors="replace").rstrip("\r")))
            if not piece:
                break
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        if self._on_end:
            self._on_end()

    def _take(self, line):
        if self._on_line:
            self._on_line(line)
            return
        with self._changed:
            self._lines.append(line)
            self._changed.notify_all()
