"""What the test scripts share: unittest, processes that never outlive a test, waiting for events.

    import pathlib, sys
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
    import baton_test

    class SingleNode(baton_test.TestCase):
        def test_a_written_block_is_read_back(self):
            daemon = self.start([baton_test.program("batond"), "--config", ...])
            daemon.wait_for_line(r"listening on")
            ...

    if __name__ == "__main__":
        baton_test.main()

main() prints one line a case and one line of counts, all beginning with `baton-test:`; scripts/test
adds them up. By hand: `python3 tests/integration/x_test.py [-k WORD] [-v]`.
"""
import argparse
import ctypes
import errno
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

SOURCE_DIR = pathlib.Path(__file__).resolve().parents[2]
BUILD_DIR = pathlib.Path(os.environ.get("BATON_BUILD_DIR") or SOURCE_DIR / "build" / "release")
# scripts/test --quick sets this: tests with a choice take the shorter way.
QUICK = os.environ.get("BATON_QUICK") == "1"
CASE_TIMEOUT_SECONDS = 120


class Failed(AssertionError):
    """A test's expectation was not met; the message says which."""


def program(name):
    """The path of one of our programs; skips the case where it is not built."""
    path = BUILD_DIR / name
    if not path.exists():
        raise unittest.SkipTest(f"{path} is not built")
    return str(path)


def requires_programs(*names):
    """Decorator: skips, by name, where a tool of other people is not installed."""
    missing = [name for name in names if not find_program(name)]
    return unittest.skipIf(missing, f"not installed: {', '.join(missing)} (scripts/install-deps)")


def requires_root(what):
    return unittest.skipIf(os.geteuid() != 0, f"{what} needs root")


def find_program(name):
    """Debian's program, also where sbin is not in PATH."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def wait_for(condition, what, timeout=10.0, watch=()):
    """Returns the first true value of condition(). Fails after `timeout` seconds, or as soon as a
    process of `watch` has died, and says what was waited for."""
    deadline = time.monotonic() + timeout
    pause = 0.001
    while True:
        value = condition()
        if value:
            return value
        for process in watch:
            if not process.is_running():
                raise Failed(f"{process.name} exited with {process.exit_status()} while the test "
                             f"waited for {what}\n{process.log_tail()}")
        if time.monotonic() >= deadline:
            tails = "".join(f"\n{process.log_tail()}" for process in watch)
            raise Failed(f"waited {timeout} s in vain for {what}{tails}")
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


def accepts(address):
    """Whether somebody listens: on a unix socket (a path) or on TCP (a (host, port) pair)."""
    family = socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(address if isinstance(address, tuple) else str(address))
            return True
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ECONNREFUSED, errno.EAGAIN):
                return False
            raise


def free_ports(count):
    """Different TCP ports of 127.0.0.1 that nobody has now. One may be gone when it is used."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def free_port():
    return free_ports(1)[0]


def run(argv, timeout=60, check=True, **options):
    """Runs a command to its end. `check` is True (must exit 0), False, or the status expected.
    Returns its CompletedProcess with stdout and stderr as text; fails with all it printed."""
    argv = [str(word) for word in argv]
    try:
        done = subprocess.run(argv, timeout=timeout, stdin=options.pop("stdin", subprocess.DEVNULL),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              errors="replace", preexec_fn=_die_with_parent, **options)
    except subprocess.TimeoutExpired as late:
        printed = "".join(_text(part) for part in (late.stdout, late.stderr))
        raise Failed(f"{shlex.join(argv)} did not end within {timeout} s\n{printed}") from None
    wanted = 0 if check is True else check
    if check is not False and done.returncode != wanted:
        raise Failed(f"{shlex.join(argv)} exited with {done.returncode}, not {wanted}\n"
                     f"{done.stdout}{done.stderr}")
    return done


def _text(part):
    return part.decode(errors="replace") if isinstance(part, bytes) else part or ""


_libc = ctypes.CDLL(None)


def _die_with_parent():
    _libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: not even a killed test leaves a process


class Process:
    """A program in the background, with its output in a log file."""

    def __init__(self, argv, name, log_path, **options):
        self.argv = [str(word) for word in argv]
        self.name = name
        self.log_path = pathlib.Path(log_path)
        with open(self.log_path, "ab") as log:
            self._child = subprocess.Popen(
                self.argv, stdin=options.pop("stdin", subprocess.DEVNULL),
                stdout=options.pop("stdout", log), stderr=options.pop("stderr", log),
                preexec_fn=_die_with_parent, start_new_session=True, **options)
        self.pid = self._child.pid

    def is_running(self):
        return self._child.poll() is None

    def close_stdin(self):
        """The end of what it reads, if it was started with stdin=subprocess.PIPE."""
        self._child.stdin.close()

    def exit_status(self):
        """The exit status, negative for a signal; None while it runs."""
        return self._child.poll()

    def log(self):
        try:
            return self.log_path.read_text(errors="replace")
        except FileNotFoundError:
            return f"({self.log_path} is gone)"

    def log_tail(self, lines=40):
        tail = self.log().splitlines()[-lines:]
        return "\n".join([f"--- {self.name} (pid {self.pid}) said:", *tail, "---"])

    def wait_for_line(self, pattern, timeout=10.0):
        """The match of `pattern` in the log, from its beginning."""
        return wait_for(lambda: re.search(pattern, self.log(), re.MULTILINE),
                        f"{pattern!r} in the log of {self.name}", timeout, watch=[self])

    def send_signal(self, number):
        self._child.send_signal(number)

    def wait(self, timeout=10.0):
        """The exit status, once it ends by itself."""
        try:
            return self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} did not end within {timeout} s\n{self.log_tail()}") from None

    def stop(self, timeout=10.0, number=signal.SIGTERM):
        """Asks it to end and returns its exit status; fails if it does not end in time."""
        if self.is_running():
            self.send_signal(number)
        return self.wait(timeout)

    def kill(self):
        """SIGKILL to it and to what it started; returns when it is gone."""
        if self.is_running():
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self._child.wait()


class TestCase(unittest.TestCase):
    """A case with a folder of its own under a short path (unix sockets allow 107 characters), whose
    processes are killed at its end, last started first."""

    def setUp(self):
        self._processes = []
        self._folder = None
        signal.signal(signal.SIGALRM, self._too_late)
        signal.alarm(int(getattr(self, "timeout_seconds", CASE_TIMEOUT_SECONDS)))
        self.addCleanup(signal.alarm, 0)

    def _too_late(self, *_):
        raise Failed("the case took too long (timeout_seconds of its class)\n" +
                     "\n".join(process.log_tail() for process in self._processes))

    @property
    def folder(self):
        """A fresh folder, removed at the end. BATON_KEEP=1 keeps it, to look at after a failure."""
        if self._folder is None:
            self._folder = pathlib.Path(tempfile.mkdtemp(prefix="bt-", dir="/tmp"))
            if os.environ.get("BATON_KEEP") == "1":
                print(f"{self.id()}: kept {self._folder}", file=sys.stderr)
            else:
                self.addCleanup(shutil.rmtree, self._folder, ignore_errors=True)
        return self._folder

    def start(self, argv, name=None, **options):
        """Starts a program in the background; it is killed at the end of the case, if not before."""
        name = name or pathlib.Path(str(argv[0])).name
        log_path = self.folder / f"{len(self._processes)}-{name}.log"
        process = Process(argv, name, log_path, **options)
        self._processes.append(process)
        self.addCleanup(process.kill)
        return process

    def wait_for(self, condition, what, timeout=10.0):
        """As the function, watching nothing: for processes use their own waits."""
        return wait_for(condition, what, timeout)

    def logs(self):
        """The ends of all logs, for the message of a failure."""
        return "\n".join(process.log_tail() for process in self._processes)


class _Result(unittest.TextTestResult):
    """Prints the line of each case as it ends; a case with subtests counts once."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.counts = {"passed": 0, "failed": 0, "skipped": 0}
        self._outcome = None

    def startTest(self, test):
        self._outcome = ("passed", "")
        super().startTest(test)

    def stopTest(self, test):
        super().stopTest(test)
        self._report(*self._outcome, _name(test))

    def _report(self, outcome, reason, name):
        self.counts[outcome] += 1
        print(f"baton-test: {outcome} {name}" + (f": {reason}" if reason else ""), flush=True)

    def _failed(self, test, error):
        self._outcome = ("failed", "")
        if isinstance(test, TestCase) and hasattr(test, "_processes"):
            print(test.logs(), file=sys.stderr)

    def addError(self, test, error):
        super().addError(test, error)
        if isinstance(test, unittest.TestCase):
            self._failed(test, error)
        else:  # setUpClass or setUpModule: no case of its own
            self._report("failed", "", str(test))

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self._failed(test, error)

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error:
            self._failed(test, error)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        one_line = " ".join(reason.split())
        if isinstance(test, unittest.TestCase):
            self._outcome = ("skipped", one_line)
        else:
            self._report("skipped", one_line, str(test))

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self._outcome = ("failed", "")


def _name(test):
    return ".".join(test.id().split(".")[-2:])


def main(module="__main__"):
    parser = argparse.ArgumentParser()
    parser.add_argument("-k", action="append", metavar="WORD", help="only cases with WORD in them")
    parser.add_argument("-f", "--failfast", action="store_true")
    arguments = parser.parse_args()
    loader = unittest.TestLoader()
    if arguments.k:
        loader.testNamePatterns = [word if "*" in word else f"*{word}*" for word in arguments.k]
    # SIGTERM (ctest's time is up) unwinds, so that processes and folders go.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    suite = loader.loadTestsFromModule(sys.modules[module])
    runner = unittest.TextTestRunner(verbosity=0, resultclass=_Result, failfast=arguments.failfast)
    result = runner.run(suite)
    counts = result.counts
    print(f"baton-test: {counts['passed']} passed, {counts['failed']} failed, "
          f"{counts['skipped']} skipped", flush=True)
    sys.exit(1 if counts["failed"] else 0)
