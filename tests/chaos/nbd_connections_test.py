#!/usr/bin/env python3
"""Two thousand connections that come and go, and a hundred that stand still at every step of the protocol,
beside a client that works: it sees no error, and nothing of the others is left when they have gone. Its
latency beside them and alone is printed. And a flood of connections that never ends, which come and go or
stand still: who has something to ask gets in beside it.

BATON_CONNECTIONS says how many come and go (2000), BATON_FIO_SECONDS how long the client works (10)."""
import errno
import json
import os
import pathlib
import random
import selectors
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "conformance"))
import nbd  # noqa: E402
from nbd_server_case import RawClient, ServerCase, baton_test  # noqa: E402

CONNECTIONS = int(os.environ.get("BATON_CONNECTIONS", "2000"))
SECONDS = int(os.environ.get("BATON_FIO_SECONDS", "10"))
STALLED = 100
MIB = 1 << 20


def request(command, offset, length, data=b""):
    return struct.pack(">IHHQQI", 0x25609513, 0, command, 7, offset, length) + data


def option(number, data=b"", length=None):
    return struct.pack(">QII", RawClient.IHAVEOPT, number, len(data) if length is None else length) + data


HELLO = struct.pack(">I", 3)
GO = HELLO + option(7, struct.pack(">I", 4) + b"disk" + struct.pack(">H", 0))
# What a client says before it stands still, reading nothing.
STEPS = (
    b"", HELLO[:2], HELLO + option(3)[:9], HELLO + option(7, b"x" * 100, 60_000), HELLO + option(3) * 500,
    GO, GO + request(0, 0, 512)[:20], GO + request(1, 0, 65536), GO + request(1, 0, 32 * MIB, b"x" * 100_000),
    GO + b"".join(request(0, 0, MIB) for _ in range(64)))


# As fast as one process can, until it is killed; the last HOLD of them stay and say nothing.
FLOOD = """
import collections, resource, socket, sys
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
path, hold = sys.argv[1], int(sys.argv[2])
held = collections.deque(maxlen=hold)
while True:
    client = socket.socket(socket.AF_UNIX)
    client.setblocking(False)
    try:
        client.connect(path)
        held.append(client)
    except BlockingIOError:
        pass
    if len(held) == hold:
        print("flooded", flush=True)
        hold = -1
"""


class Connections(ServerCase):
    timeout_seconds = 180

    def connect(self, words):
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        client.connect(str(self.socket_path))
        try:
            client.send(words)
        except BlockingIOError:
            pass
        return client

    def stand_still(self, stop):
        """A hundred at a time; whoever is closed is replaced."""
        watched = selectors.DefaultSelector()
        number = 0
        while not stop.is_set():
            while len(watched.get_map()) < STALLED:
                try:
                    client = self.connect(STEPS[number % len(STEPS)])
                except BlockingIOError:
                    break
                number += 1
                # Only the end is looked for: what comes is not read.
                watched.register(client, selectors.EVENT_READ)
            for key, _ in watched.select(0.2):
                try:
                    over = key.fileobj.recv(1, socket.MSG_PEEK) == b""
                except BlockingIOError:
                    over = False
                except OSError:
                    over = True
                if over:
                    watched.unregister(key.fileobj)
                    key.fileobj.close()
            stop.wait(0.05)
        for key in list(watched.get_map().values()):
            key.fileobj.close()

    def come_and_go(self):
        """No faster than the server takes them: who finds its queue full tries again."""
        chance = random.Random(1)
        gone = 0
        while gone < CONNECTIONS:
            try:
                self.connect(chance.choice(STEPS)).close()
                gone += 1
            except BlockingIOError:
                pass
        self.gone = gone

    def fio_p99(self):
        """Microseconds of the slower of reads and writes, and how many there were."""
        done = baton_test.run(
            ["fio", "--name=client", "--ioengine=nbd", f"--uri={self.uri()}", "--rw=randrw", "--bs=4k",
             "--iodepth=16", "--time_based", f"--runtime={SECONDS}", "--size=32m", "--offset=32m",
             "--output-format=json", "--verify_state_save=0"], cwd=self.folder, timeout=SECONDS + 60)
        job = json.loads(done.stdout[done.stdout.index("{"):])["jobs"][0]
        self.assertEqual(job["error"], 0)
        slowest = max(job[way]["clat_ns"]["percentile"]["99.000000"] for way in ("read", "write"))
        return slowest / 1000, job["read"]["total_ios"] + job["write"]["total_ios"]

    def used(self):
        """(resident MiB, descriptors) of the server."""
        status = pathlib.Path(f"/proc/{self.server.pid}/status").read_text()
        resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(resident.split()[1]) >> 10, len(os.listdir(f"/proc/{self.server.pid}/fd"))

    @baton_test.requires_programs("fio")
    def test_who_works_notices_little_of_who_does_not(self):
        self.fio_p99()  # memory and pages are warm
        quiet, quiet_count = self.fio_p99()
        before, descriptors = self.used()
        stop = threading.Event()
        others = [threading.Thread(target=self.stand_still, args=[stop]),
                  threading.Thread(target=self.come_and_go)]

        def when_fio_is_attached():
            self.wait_for(lambda: self.used()[1] > descriptors, "fio to be attached", 30)
            for other in others:
                other.start()

        starter = threading.Thread(target=when_fio_is_attached)
        starter.start()
        try:
            loud, loud_count = self.fio_p99()
        finally:
            starter.join()
            stop.set()
            for other in others:
                other.join()
        self.wait_for(lambda: self.used()[1] <= descriptors, "the descriptors to be given back", 30)
        after, _ = self.used()
        print(f"p99 alone {quiet:.0f} us ({quiet_count} requests), beside {STALLED} that stand still and "
              f"{CONNECTIONS} that come and go {loud:.0f} us ({loud_count}); "
              f"resident {before} MiB before, {after} MiB after", flush=True)
        # The pool keeps up to 64 MiB of buffers for the next ones.
        self.assertLess(after, before + 80)
        self.assertEqual(self.gone, CONNECTIONS)
        self.assertGreater(loud_count, 1000, "the client is served")

    def ask(self, connect):
        """Milliseconds from the first attempt to the first answer."""
        begin = time.monotonic()
        while True:
            client = nbd.NBD()
            client.set_export_name("disk")
            try:
                connect(client)
                break
            except nbd.Error as error:
                # The kernel's queue is full: such a client tries again, and so do those of the flood.
                self.assertEqual(error.errnum, errno.EAGAIN, error)
        client.pread(4096, 0)
        took = time.monotonic() - begin
        client.shutdown()
        return took * 1000

    def test_who_comes_in_the_middle_of_a_flood_is_served(self):
        for hold, kind in ((1, "come and go"), (2000, "stand still")):
            flood = self.start([sys.executable, "-c", FLOOD, self.socket_path, hold], name="flood")
            flood.wait_for_line("flooded", timeout=30)
            for way, connect in (("unix", lambda client: client.connect_unix(str(self.socket_path))),
                                 ("tcp", lambda client: client.connect_tcp("127.0.0.1",
                                                                           str(self.port)))):
                took = sorted(self.ask(connect) for _ in range(20))
                print(f"beside a flood of those that {kind}, by {way}: in after {took[10]:.1f} ms, at "
                      f"most {took[-1]:.1f}", flush=True)
            self.assertTrue(flood.is_running(), flood.log_tail())
            flood.kill()
        self.assertNotIn("turned away", self.server.log())


if __name__ == "__main__":
    baton_test.main()
