"""The servers that are compared: how each is started, and which processes are its own.

All serve one file of the same size, allocated before they start (but nbdkit's memory, which has
none), over the transport that the bench says. Each is a class with
  name, against   what it is called in the table, and whom its ratios are taken against
  start(bench)    starts it; sets `nbd_uri` (what its client is told) and `servers` (whose CPU time
                  counts)
  files           the copies it keeps: where there are two, they must be equal at the end
A contender that cannot start raises Missing, with the reason that the table then shows.
"""
import os
import re
import sys

from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))
import baton_test  # noqa: E402
from background_server import BackgroundServer  # noqa: E402
from endpoint import HOST, Endpoint  # noqa: E402

START_SECONDS = 15
VERB_SECONDS = 60  # also for the first sync: it finds nothing but holes


class Missing(Exception):
    """This contender cannot be measured here; says why."""


class Bench:
    """Where one contender works: folders, file size, transport, and the processes to kill at the
    end. The transport "tls" wants a folder of `certificates`."""

    def __init__(self, place, sockets, size, transport="unix", certificates=None):
        self.place = Path(place)
        self.sockets = Path(sockets)
        self.size = size
        self.transport = transport
        self.certificates = certificates if transport == "tls" else None
        self.processes = []
        self._endpoints = {}

    def endpoint(self, name="n"):
        """Where the server of that name listens: the same for the same name."""
        if name not in self._endpoints:
            self._endpoints[name] = self._new_endpoint(name)
        return self._endpoints[name]

    def _new_endpoint(self, name):
        if self.transport == "unix":
            return Endpoint(path=self.sockets / f"{name}.sock")
        return Endpoint(port=baton_test.free_port(), certificates=self.certificates)

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

    def server(self, argv, name, endpoint):
        process = baton_test.Process(argv, name, self.sockets / f"{name}.log")
        return self._listening(process, endpoint)

    def background_server(self, argv, name, pid_file, endpoint):
        """For a server that cannot be kept in the foreground."""
        try:
            process = BackgroundServer(argv, name, pid_file)
        except baton_test.Failed as failure:
            raise Missing(str(failure)) from None
        return self._listening(process, endpoint)

    def _listening(self, process, endpoint):
        self.processes.append(process)
        try:
            baton_test.wait_for(lambda: baton_test.accepts(endpoint.listens),
                                f"{process.name} to listen", START_SECONDS, watch=[process])
        except baton_test.Failed as failure:
            raise Missing(str(failure)) from None
        return process

    def close(self):
        for process in reversed(self.processes):
            try:
                process.stop(timeout=15)
            except baton_test.Failed:
                process.kill()


class Contender:
    name = ""
    against = None
    engine = "nbd"
    nbd_uri = ""

    def __init__(self):
        self.servers = []
        self.files = []

    @property
    def target(self):
        """What fio is told."""
        return f"uri={self.nbd_uri}"


class RawFile(Contender):
    name = "raw file"
    engine = "io_uring"
    target = ""

    def start(self, bench):
        self.target = f"filename={bench.allocate('disk.img')}"


class QemuNbd(Contender):
    name = "qemu-nbd"
    against = "qemu-nbd"

    def start(self, bench):
        self.files = [bench.allocate("disk.img")]
        self.servers = [qemu_nbd(bench, self.files[0], bench.endpoint())]
        self.nbd_uri = bench.endpoint().uri()


def qemu_nbd(bench, file, endpoint):
    # As many connections as a client may want: more than one is promised only where they are let in.
    argv = [bench.tool("qemu-nbd"), "--persistent", "--shared=16", "--format=raw", "--cache=none",
            "--aio=io_uring", "--discard=unmap"]
    if endpoint.path:
        argv.append(f"--socket={endpoint.path}")
    else:
        argv += [f"--bind={HOST}", f"--port={endpoint.port}"]
    if endpoint.certificates:
        argv += ["--object", f"tls-creds-x509,id=tls,endpoint=server,dir={endpoint.certificates}",
                 "--tls-creds=tls"]
    return bench.server([*argv, file], "qemu-nbd", endpoint)


class Nbdkit(Contender):
    """Goes through the page cache: nbdkit's file plugin has no O_DIRECT."""
    name = "nbdkit file"
    against = "qemu-nbd"

    def start(self, bench):
        endpoint = bench.endpoint()
        self.servers = [bench.server([bench.tool("nbdkit"), "--foreground", *self._listens(endpoint),
                                      *self._plugin(bench)], "nbdkit", endpoint)]
        self.nbd_uri = endpoint.uri()

    def _plugin(self, bench):
        self.files = [bench.allocate("disk.img")]
        return ["file", self.files[0]]

    @staticmethod
    def _listens(endpoint):
        if endpoint.path:
            return ["--unix", endpoint.path]
        words = ["--ipaddr", HOST, "--port", endpoint.port]
        if endpoint.certificates:
            words += ["--tls=require", f"--tls-certificates={endpoint.certificates}",
                      "--tls-verify-peer"]
        return words


class NbdkitMemory(Nbdkit):
    """No file and no kernel behind it: what serving NBD costs alone."""
    name = "nbdkit memory"

    def _plugin(self, bench):
        return ["memory", f"size={bench.size}", "allocator=malloc"]


class NbdServer(Contender):
    """A process with four threads for each connection; goes through the page cache."""
    name = "nbd-server"
    against = "qemu-nbd"

    def start(self, bench):
        self.files = [bench.allocate("disk.img")]
        endpoint = bench.endpoint()
        config, pid_file = bench.sockets / "nbd-server.conf", bench.sockets / "nbd-server.pid"
        config.write_text(self._config(endpoint))
        # Its foreground (-d) serves one connection and ends.
        self.servers = [bench.background_server(
            [bench.tool("nbd-server"), "-C", config, "-p", pid_file], "nbd-server", pid_file,
            endpoint)]
        self.nbd_uri = endpoint.uri("disk")

    def _config(self, endpoint):
        lines = ["[generic]"]
        if endpoint.path:
            lines.append(f"unixsock = {endpoint.path}")
        else:
            lines += [f"listenaddr = {HOST}", f"port = {endpoint.port}"]
        if endpoint.certificates:
            # Without tlsprio it is TLS 1.2 and nothing else.
            lines += [f"certfile = {endpoint.certificates}/server-cert.pem",
                      f"keyfile = {endpoint.certificates}/server-key.pem",
                      f"cacertfile = {endpoint.certificates}/ca-cert.pem",
                      "force_tls = true", "tlsprio = NORMAL:-VERS-ALL:+VERS-TLS1.3"]
        lines += ["[disk]", f"exportname = {self.files[0]}", "flush = true", "fua = true",
                  "trim = true"]
        return "\n".join(lines) + "\n"


class Quorum(Contender):
    """The replicated disk that QEMU alone can put together in user space."""
    name = "quorum"
    against = "quorum"

    def start(self, bench):
        self.files = [bench.allocate("local.img"), bench.allocate("remote.img")]
        remote, endpoint = bench.endpoint("r"), bench.endpoint()
        self.servers = [qemu_nbd(bench, self.files[1], remote)]
        self.servers.append(bench.server([
            bench.tool("qemu-storage-daemon"),
            "--blockdev", f"driver=file,node-name=local,filename={self.files[0]},"
                          "cache.direct=on,aio=io_uring,auto-read-only=off",
            "--blockdev", f"driver=nbd,node-name=remote,server.type=unix,server.path={remote.path}",
            "--blockdev", "driver=quorum,node-name=both,children.0=local,children.1=remote,"
                          "vote-threshold=2",
            "--nbd-server", f"addr.type=unix,addr.path={endpoint.path}",
            "--export", "type=nbd,id=export,node-name=both,name=both,writable=on",
        ], "qemu-storage-daemon", endpoint))
        self.nbd_uri = endpoint.uri("both")


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
             "--run-dir", self._run_dir(node)], f"batond-{node}", bench.endpoint(node))
            for node in reversed(self.nodes)]
        if len(self.nodes) > 1:
            self._verb("alpha", "wait-connect", "vm1")
            self._verb("alpha", "primary", "vm1", "--force", "--yes")
            self._verb("alpha", "wait-sync", "vm1")
        self.nbd_uri = bench.endpoint("alpha").uri("vm1")

    def _run_dir(self, node):
        return self.bench.sockets / node

    def _toml(self):
        text = f'[resource]\nname = "vm1"\nprotocol = "{self.protocol}"\n\n'
        text += f'[[volume]]\nsize = "{self.bench.size}"\n'
        ports = baton_test.free_ports(len(self.nodes))
        for node, port, file in zip(self.nodes, ports, self.files):
            text += f"\n[node.{node}]\n"
            if len(self.nodes) > 1:
                text += f'address = "127.0.0.1:{port}"\n'
            text += f'nbd = ["{self._listens(node)}"]\ndisks = ["{file}"]\n'
        if self.bench.certificates:
            text += f'\n[tls]\ndir = "{self.bench.certificates}"\nnbd = "required"\n'
        return text

    def _listens(self, node):
        endpoint = self.bench.endpoint(node)
        return f"unix:{endpoint.path}" if endpoint.path else f"tcp:{HOST}:{endpoint.port}"

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
PLAIN = [QemuNbd, Nbdkit, NbdkitMemory, NbdServer, BatonAlone]
