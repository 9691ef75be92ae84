"""One measurement: fio against a contender, and the CPU time that its servers spent meanwhile."""
import json
import os
import subprocess
from pathlib import Path

from contenders import baton_test

FOLDER = Path(__file__).resolve().parent
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# What a client may take beyond its runtime: start, end, and a server that has fallen asleep.
GRACE_SECONDS = 30

# (name in the table, job file, variables)
ROWS = [
    *((f"4 KiB random write, depth {depth}", "randwrite.fio", {"DEPTH": depth}) for depth in (1, 16, 32)),
    *((f"4 KiB random read, depth {depth}", "randread.fio", {"DEPTH": depth}) for depth in (1, 16, 32)),
    ("1 MiB sequential write, depth 8", "seq.fio", {"DEPTH": 8, "RW": "write"}),
    ("1 MiB sequential read, depth 8", "seq.fio", {"DEPTH": 8, "RW": "read"}),
]


class ClientFailed(Exception):
    """Not every request of a client was answered well, so there is nothing to compare."""


def cpu_seconds(servers):
    """User and system time of all threads of the servers so far, and of the processes that they
    started for their clients: these are counted once the server has seen them end."""
    ticks = 0
    for server in servers:
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children")
        baton_test.wait_for(lambda path=children: not path.read_text(),
                            f"the processes that {server.name} started for its clients to end")
        # The name, in parentheses, may hold spaces: count from behind it.
        fields = Path(f"/proc/{server.pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += sum(map(int, fields[11:15]))
    return ticks / TICKS_PER_SECOND


def fio(job, contender, size, limit_seconds, **variables):
    """Runs a job file; returns fio's report of the job."""
    environment = {**os.environ, "ENGINE": contender.engine, "TARGET": contender.target,
                   "SIZE": str(size), **{key: str(value) for key, value in variables.items()}}
    try:
        done = subprocess.run(
            [baton_test.find_program("fio"), "--output-format=json", str(FOLDER / job)],
            env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=limit_seconds)
    except subprocess.TimeoutExpired:
        raise ClientFailed(f"fio {job} did not end within {limit_seconds:.0f} s") from None
    if done.returncode != 0:
        raise ClientFailed(f"fio {job} exited with {done.returncode}: "
                        f"{(done.stderr or done.stdout).strip()[-600:]}")
    # fio may print notes before its report.
    report = json.loads(done.stdout[done.stdout.index("{"):])
    job_report = report["jobs"][0]
    if job_report["error"]:
        raise ClientFailed(f"fio {job} reports error {job_report['error']}")
    return job_report


def fill(contender, size):
    fio("fill.fio", contender, size, 60 + size / 2e6)


def verify(contender, size):
    fio("verify.fio", contender, min(size, 64 << 20), 120)


def measure(row, contender, size, runtime_seconds):
    name, job, variables = row
    before = cpu_seconds(contender.servers)
    report = fio(job, contender, size, runtime_seconds + GRACE_SECONDS, RUNTIME=f"{runtime_seconds * 1000:.0f}ms",
                 **variables)
    spent = cpu_seconds(contender.servers) - before
    side = report["read"] if report["read"]["total_ios"] else report["write"]
    requests = side["total_ios"]
    if not requests:
        raise ClientFailed(f"{name}: no request was answered in {runtime_seconds} s")
    return {
        "iops": side["iops"],
        "mean_us": side["lat_ns"]["mean"] / 1000,
        "p99_us": side["lat_ns"]["percentile"]["99.000000"] / 1000,
        # fio's own time is not a server's: none for the raw file.
        "cpu_us": spent * 1e6 / requests if contender.servers else None,
    }
