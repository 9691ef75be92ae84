"""One measurement of a plain export: nbd_load against it, over TCP or TLS, on one connection or more.

As measure.py, which does it with fio over a unix socket: ROWS, fill, verify, measure.
"""
import json
import os
from pathlib import Path

from contenders import baton_test
from measure import GRACE_SECONDS, ClientFailed, cpu_seconds

PROGRAM = baton_test.BUILD_DIR / "nbd_load"
GNUTLS_CONFIG = Path(__file__).resolve().parent / "gnutls_of_nbd_load.conf"
MIB = 1 << 20


def _rows():
    """(name in the table, nbd_load's words)"""
    for connections, together in ((1, "1 connection"), (4, "4 connections")):
        shared = ["--connections", connections]
        for verb in ("write", "read"):
            yield (f"4 KiB random {verb}, depth 16, {together}",
                   [verb, "--block", 4096, "--depth", 16, *shared])
        for verb in ("write", "read"):
            yield (f"1 MiB sequential {verb}, depth 8, {together}",
                   [verb, "--block", MIB, "--depth", 8, "--sequential", *shared])


ROWS = list(_rows())


def nbd_load(contender, words, limit_seconds):
    """Runs nbd_load to its end; returns what it printed."""
    done = baton_test.run([PROGRAM, contender.nbd_uri, *words], timeout=limit_seconds, check=False,
                          env={**os.environ, "GNUTLS_SYSTEM_PRIORITY_FILE": str(GNUTLS_CONFIG)})
    if done.returncode != 0:
        raise ClientFailed(f"nbd_load {words[0]} exited with {done.returncode}: "
                           f"{(done.stderr or done.stdout).strip()[-600:]}")
    return done.stdout


def fill(contender, size):
    nbd_load(contender, ["fill"], 60 + size / 2e6)


def verify(contender, size):
    nbd_load(contender, ["verify", "--connections", 4, "--bytes", min(size, 64 * MIB)], 120)


def measure(row, contender, _size, runtime_seconds):
    _, words = row
    before = cpu_seconds(contender.servers)
    answer = json.loads(nbd_load(contender, [*words, "--seconds", runtime_seconds],
                                 runtime_seconds + GRACE_SECONDS))
    spent = cpu_seconds(contender.servers) - before
    return {**answer, "cpu_us": spent * 1e6 / answer["requests"]}
