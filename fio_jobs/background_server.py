"""A server that sends itself into the background, and can only be found by the file it leaves."""
import ctypes
import os
import signal
from pathlib import Path

import baton_test

_PR_SET_CHILD_SUBREAPER = 36


class BackgroundServer:
    """Like baton_test.Process, for a program that forks itself away and writes its process id. This
    process adopts it, so that its id stays its own until it was waited for."""

    def __init__(self, argv, name, pid_file):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
        self.name = name
        self._status = None
        self._said = baton_test.run(argv).stderr
        baton_test.wait_for(lambda: pid_file.exists() and pid_file.read_text().endswith("\n"),
                            f"{name} to leave its process id")
        self.pid = int(pid_file.read_text())

    def is_running(self):
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status is None

    def exit_status(self):
        return None if self.is_running() else self._status

    def log_tail(self):
        return f"--- {self.name} (pid {self.pid}) said: {self._said.strip()} ---"

    def stop(self, timeout):
        if self.is_running():
            os.kill(self.pid, signal.SIGTERM)
        baton_test.wait_for(lambda: not self.is_running(), f"{self.name} to end", timeout)

    def kill(self):
        """SIGKILL to it and to what it started; returns when it is gone."""
        if self.is_running():
            os.killpg(self.pid, signal.SIGKILL)  # it leads a session of its own
            baton_test.wait_for(lambda: not self.is_running(), f"{self.name} to be gone")
