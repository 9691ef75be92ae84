"""The servers that are compared: how each is started, and which processes are its own.

All serve one file of the same size, allocated before they start. Each is a class with
  name, against   what it is called in the table, and whom its ratios are taken against
  start(bench)    starts it; sets `target` (what fio talks to) and `servers` (whose CPU time counts)
  files           the copies it keeps: where there are two, they must be equal at the end
A contender that cannot start raises Missing, with the reason that the table then shows.
"""
import os
import re
import sys

from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))
import baton_test  # noqa: E402

START_SECONDS = 15
VERB_SECONDS = 60  # also for the first sync: it finds nothing but holes


class Missing(Exception):
    """This contender cannot be measured here; says why."""


class Bench:
    """Where one contender works: folders, file size, and the processes to kill at the end."""

    def __init__(self, place, sockets, size):
        self.place = Path(place)
        self.sockets = Path(sockets)
        self.size = size
        self.processes = []

    def allocate(self, name):
        path = self.place / name
        with open(path, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, self.size)
        return path

    def tool(self, name):
        path = baton_test.find_program(name)
        if not path:
            raise Missing(f"{name} is not installed (scripts/install-deps)")
        return path

    def server(self, argv, name, listens):
        process = baton_test.Process(argv, name, self.sockets / f"{name}.log")
        self.processes.append(process)
        try:
            baton_test.wait_for(lambda: baton_test.accepts(listens), f"{name} to listen",
                                START_SECONDS, watch=[process])
        except baton_test.Failed as failure:
            raise Missing(str(failure)) from None
        return process

    def close(self):
        for process in reversed(self.processes):
            try:
                process.stop(timeout=15)
            except baton_test.Failed:
                process.kill()


def uri(socket, export=""):
    return f"uri=nbd+unix:///{export}?socket={socket}"


class Contender:
    name = ""
    against = None
    engine = "nbd"
    target = ""

    def __init__(self):
        self.servers = []
        self.files = []


class RawFile(Contender):
    name = "raw file"
    engine = "io_uring"

    def start(self, bench):
        self.target = f"filename={bench.allocate('disk.img')}"


class QemuNbd(Contender):
    name = "qemu-nbd"
    against = "qemu-nbd"

    def start(self, bench):
        self.files = [bench.allocate("disk.img")]
        socket = bench.sockets / "n.sock"
        self.servers = [qemu_nbd(bench, self.files[0], socket)]
        self.target = uri(socket)


def qemu_nbd(bench, file, socket):
    return bench.server([bench.tool("qemu-nbd"), "--persistent", "--format=raw", "--cache=none",
                         "--aio=io_uring", f"--socket={socket}", file], "qemu-nbd", socket)


class Nbdkit(Contender):
    """Goes through the page cache: nbdkit's file plugin has no O_DIRECT."""
    name = "nbdkit file"
    against = "qemu-nbd"

    def start(self, bench):
        self.files = [bench.allocate("disk.img")]
        socket = bench.sockets / "n.sock"
        self.servers = [bench.server([bench.tool("nbdkit"), "--foreground", "--unix", socket, "file",
                                      self.files[0]], "nbdkit", socket)]
        self.target = uri(socket)


class Quorum(Contender):
    """The replicated disk that QEMU alone can put together in user space."""
    name = "quorum"
    against = "quorum"

    def start(self, bench):
        self.files = [bench.allocate("local.img"), bench.allocate("remote.img")]
        remote, socket = bench.sockets / "r.sock", bench.sockets / "n.sock"
        self.servers = [qemu_nbd(bench, self.files[1], remote)]
        self.servers.append(bench.server([
            bench.tool("qemu-storage-daemon"),
            "--blockdev", f"driver=file,node-name=local,filename={self.files[0]},"
                          "cache.direct=on,aio=io_uring,auto-read-only=off",
            "--blockdev", f"driver=nbd,node-name=remote,server.type=unix,server.path={remote}",
            "--blockdev", "driver=quorum,node-name=both,children.0=local,children.1=remote,"
                          "vote-threshold=2",
            "--nbd-server", f"addr.type=unix,addr.path={socket}",
            "--export", "type=nbd,id=export,node-name=both,name=both,writable=on",
        ], "qemu-storage-daemon", socket))
        self.target = uri(socket, "both")


class Baton(Contender):
    """batond, driven as its manual says: a configuration file, create-md, the daemon, the verbs."""
    nodes = ("alpha",)
    protocol = "C"

    def start(self, bench):
        self.bench = bench
        for program in ("batond", "batonctl"):
            if not (baton_test.BUILD_DIR / program).exists():
                raise Missing(f"{baton_test.BUILD_DIR / program} is not built "
                              "(cmake --preset release && cmake --build --preset release)")
        self.files = [bench.allocate(f"{node}.img") for node in self.nodes]
        self.config = bench.sockets / "vm1.toml"
        self.config.write_text(self._toml())
        for node in self.nodes:
            self._run_dir(node).mkdir()
            self._verb(node, "create-md", "vm1")
        # What is started last is stopped first: the holder, so that it drains while its peer is there.
        self.servers = [bench.server(
            [baton_test.BUILD_DIR / "batond", "--config", self.config, "--node", node,
             "--run-dir", self._run_dir(node)], f"batond-{node}", self._socket(node))
            for node in reversed(self.nodes)]
        if len(self.nodes) > 1:
            self._verb("alpha", "wait-connect", "vm1")
            self._verb("alpha", "primary", "vm1", "--force", "--yes")
            self._verb("alpha", "wait-sync", "vm1")
        self.target = uri(self._socket("alpha"), "vm1")

    def _run_dir(self, node):
        return self.bench.sockets / node

    def _socket(self, node):
        return self.bench.sockets / f"{node}.sock"

    def _toml(self):
        text = f'[resource]\nname = "vm1"\nprotocol = "{self.protocol}"\n\n'
        text += f'[[volume]]\nsize = "{self.bench.size}"\n'
        ports = baton_test.free_ports(len(self.nodes))
        for node, port, file in zip(self.nodes, ports, self.files):
            text += f"\n[node.{node}]\n"
            if len(self.nodes) > 1:
                text += f'address = "127.0.0.1:{port}"\n'
            text += f'nbd = ["unix:{self._socket(node)}"]\ndisks = ["{file}"]\n'
        return text

    def _verb(self, node, verb, *words):
        argv = [baton_test.BUILD_DIR / "batonctl", "--config", self.config, "--node", node,
                "--run-dir", self._run_dir(node), verb, *words]
        try:
            baton_test.run(argv, timeout=VERB_SECONDS)
        except baton_test.Failed as failure:
            raise Missing(re.sub(r"^\S*/batonctl.*? (?=" + verb + ")", "batonctl ", str(failure),
                                 count=1)) from None


class BatonAlone(Baton):
    name = "Baton alone"
    against = "qemu-nbd"


class BatonPair(Baton):
    against = "quorum"
    nodes = ("alpha", "beta")


class BatonPairA(BatonPair):
    name = "Baton pair, A"
    protocol = "A"


class BatonPairB(BatonPair):
    name = "Baton pair, B"
    protocol = "B"


class BatonPairC(BatonPair):
    name = "Baton pair, C"
    protocol = "C"


ALL = [RawFile, QemuNbd, Nbdkit, BatonAlone, Quorum, BatonPairA, BatonPairB, BatonPairC]
