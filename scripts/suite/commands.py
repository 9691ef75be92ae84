"""Running the commands of a stage: bounded in time, and gone when we are."""
import ctypes
import os
import signal
import subprocess
import time

_libc = ctypes.CDLL(None)


def _die_with_parent():
    _libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Ended:
    def __init__(self, status, output, seconds):
        self.status = status  # None: it ran out of time
        self.output = output
        self.seconds = seconds
        self.ok = status == 0


def run(argv, limit_seconds, cwd, show=False, environment=None):
    """Runs to the end or to its limit; `show` passes the output through instead of keeping it."""
    started = time.monotonic()
    child = subprocess.Popen(
        argv, cwd=cwd, stdin=subprocess.DEVNULL, start_new_session=True,
        stdout=None if show else subprocess.PIPE, stderr=None if show else subprocess.STDOUT,
        text=True, errors="replace", preexec_fn=_die_with_parent,
        env={**os.environ, **(environment or {})})
    try:
        output, _ = child.communicate(timeout=max(1, limit_seconds))
        status = child.returncode
    except subprocess.TimeoutExpired:
        _end_group(child)
        output, _ = child.communicate()
        status = None
    except BaseException:
        _end_group(child)
        raise
    return Ended(status, output or "", time.monotonic() - started)


def _end_group(child):
    """The child leads a group of its own, so this reaches what it started and nobody else."""
    for number, patience in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
        try:
            os.killpg(child.pid, number)
            child.wait(patience)
            return
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
