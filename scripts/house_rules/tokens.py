"""Words that are not written in some places, and how long a file may be."""
import re

from house_rules.imports import PURE
from house_rules.source import PRODUCT

LINES_SOFT = 500
LINES_HARD = 800

_EVERYWHERE = PRODUCT + ("tests",)
# Polling for an event has to wait somewhere: in this one place, behind a deadline.
_PYTHON_WAITS_HERE = ("tests/support/baton_test.py",)

# (folders, folders that may all the same, pattern, what to do instead)
BANNED = [
    # The program inside the test guest writes at a pace of its own; it is no test.
    (_EVERYWHERE, ("tests/migration/guest",), r"\bthis_thread\s*::\s*sleep_\w+|\b(usleep|nanosleep|clock_nanosleep)\(|(?<![\w.:>])sleep\(",
     "waits for time to pass: wait for the event (Signal, Clock, Timer)"),
    (PRODUCT, ("base/runtime", "control"), r"\bstd::(thread|jthread|async)\b|\bpthread_create\b",
     "starts a thread: a shard is one thread, and only base/runtime and control start them"),
    (("replication",), (), r"\b(steady_clock|system_clock|high_resolution_clock|utc_clock)\b"
     r"|\b(clock_gettime|gettimeofday|time\(\s*(nullptr|NULL|0)\s*\))",
     "reads the time of day: the engine's time is Clock"),
    (PURE, (), r"\b(steady_clock|system_clock|high_resolution_clock|clock_gettime|Clock)\b",
     "reads a clock: pure code is given the time as a value"),
    (("replication",), (), r"\b(random_device|mt19937(_64)?|getrandom|arc4random\w*)\b|(?<![\w.:>])s?rand\(",
     "draws chance: the engine's chance is Random"),
    (("replication",), (), r"(?<![\w.>])(::)?(socket|connect|accept4?|recvmsg|sendmsg|epoll_wait)\(\s*(AF_|fd\b|sock)",
     "uses a socket: the engine reaches peers through Link"),
    (PURE, (), r"\bco_(await|return|yield)\b",
     "is a coroutine: decisions are pure, sequence belongs in engine/"),
    (PURE, (), r"\b(spdlog|std::c(out|err|log))\b", "logs: pure code returns what it decided"),
    (PRODUCT, (), r"\b(?!\w*service_manager)\w*([Mm]anager|[Hh]elper)\w*\b|\b(\w+_)?utils?(_\w+)?\b(?!\.h)",
     "names nothing: say what the thing is (CONTRIBUTING, Names)"),
    (PRODUCT, (), r"(?<![\w.:>])rand\(|\bstd::random_shuffle\b", "use Random"),
    (PRODUCT, (), r"(?<![\w.:>])assert\(", "vanishes in release builds: use the assertion of base/assert.h"),
]
BANNED = [(folders, spared, re.compile(pattern), reason)
          for folders, spared, pattern, reason in BANNED]
_PYTHON_SLEEP = re.compile(r"\btime\.sleep\(|\bfrom time import .*\bsleep\b")
_SHELL_SLEEP = re.compile(r"(^|[;&|]|\bdo|\bthen)[ \t]*sleep[ \t]+[0-9$]", re.MULTILINE)


def check(sources):
    for source in sources.values():
        yield from _length(source)
        yield from _file_name(source)
        if source.is_cpp:
            yield from _banned(source)
        elif source.top == "tests":
            yield from _test_script(source)


def warnings(sources):
    for source in sources.values():
        if LINES_SOFT < source.line_count <= LINES_HARD:
            yield source, LINES_SOFT, f"{source.line_count} lines: think of splitting it " \
                                      f"(soft limit {LINES_SOFT}, hard limit {LINES_HARD})"


def _length(source):
    if source.line_count > LINES_HARD:
        yield source, LINES_HARD, f"{source.line_count} lines, the limit is {LINES_HARD}: split it"


def _file_name(source):
    name = source.path.rsplit("/", 1)[-1]
    if re.search(r"(manager|helper|(^|_)utils?(_|\.|$))", name):
        yield source, 1, f"the file name {name} names nothing: say what is in it"


def _banned(source):
    for folders, spared, pattern, reason in BANNED:
        if not source.under(*folders) or source.under(*spared):
            continue
        for match in pattern.finditer(source.code):
            yield source, source.line_at(match.start()), f"'{match[0].strip()}' {reason}"


def _test_script(source):
    if source.path in _PYTHON_WAITS_HERE:
        return
    pattern = _PYTHON_SLEEP if source.path.endswith(".py") or "python" in source.text[:40] else _SHELL_SLEEP
    for match in pattern.finditer(source.text):
        yield source, source.line_at(match.start()), \
            "sleeps: wait for the event (baton_test.wait_for)"
