"""Two Baton nodes of a test, alpha and beta, on this machine: their configuration, and what one does
with a pair again and again."""
import hashlib
import json
import os
import re
import signal
import subprocess

import baton_test
from bad_network import BadNetwork
from baton_node import Node

# Every pair's link inside TLS, whatever is tested: by hand, BATON_TLS_LINKS=1.
TLS_LINKS = os.environ.get("BATON_TLS_LINKS") == "1"

MIB = 1 << 20
BLOCK = 4096

# nbdsh is python3's; Debian's python3 has the libnbd module, one before it in PATH may not.
DEBIAN_FIRST = {**os.environ, "PATH": "/usr/bin:" + os.environ.get("PATH", "")}

CONFIG = """[resource]
name = "{resource}"
protocol = "{protocol}"
{options}
[[volume]]
size = "{size}"

[node.{first}]
address = "127.0.0.1:{ports[0]}"
nbd   = ["unix:alpha.sock", "tcp:127.0.0.1:{ports[2]}"]
disks = ["alpha.img"]

[node.{second}]
address = "127.0.0.1:{ports[1]}"
nbd   = ["unix:beta.sock", "tcp:127.0.0.1:{ports[3]}"]
disks = ["beta.img"]
"""


class PairCase(baton_test.TestCase):
    size = 64 * MIB
    protocol = "C"
    options = 'secret = "of this test"'
    internal = ()  # names of the nodes whose metadata lies at the end of the disk
    timeout_seconds = 180  # some machines are slow, none is that slow

    def setUp(self):
        super().setUp()
        self.ports = baton_test.free_ports(4)
        self.alpha = Node(self, "alpha")
        self.beta = Node(self, "beta")
        self.nodes = (self.alpha, self.beta)
        self.write_config()

    # --- configuration and places ---

    def config_text(self, **changes):
        if TLS_LINKS and "options" not in changes and "[tls]" not in self.options:
            changes["options"] = self.options + '\n[tls]\nnbd = "off"\nreplication = "psk"'
        values = {"resource": "vm1", "protocol": self.protocol, "options": self.options,
                  "size": f"{self.size // MIB}MiB", "first": "alpha", "second": "beta",
                  "ports": self.ports, **changes}
        text = CONFIG.format(**values)
        for name in self.internal:
            text = text.replace(f'disks = ["{name}.img"]',
                                f'disks = ["{name}.img"]\nmeta  = ["internal"]')
        return text

    def write_config(self, name="vm1.toml", **changes):
        place = self.folder / name
        place.write_text(self.config_text(**changes))
        return place

    def use_bad_network(self):
        """Each reaches the other through a proxy, `network`; listens where that delivers."""
        network = self.network = BadNetwork({"alpha": self.ports[0], "beta": self.ports[1]})
        self.addCleanup(network.close)
        for node, place in ((self.alpha, 1), (self.beta, 0)):
            ports = list(self.ports)
            ports[place] = network.port_for(node.name)
            node.config = self.write_config(f"{node.name}.toml", ports=ports)

    def path(self, name):
        return self.folder / name

    def image(self, node):
        return self.folder / f"{node.name}.img"

    def socket_of(self, node):
        return self.folder / f"{node.name}.sock"

    def uri(self, node, export="vm1"):
        return f"nbd+unix:///{export}?socket={self.socket_of(node)}"

    def tcp_uri(self, node, export="vm1"):
        return f"nbd://127.0.0.1:{self.ports[2 + self.nodes.index(node)]}/{export}"

    def other(self, node):
        return self.beta if node is self.alpha else self.alpha

    def files(self):
        """Every file with its content's hash, but logs."""
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()
                for path in self.folder.iterdir()
                if path.is_file() and not path.name.endswith(".log")}

    # --- the pair's life ---

    def create_md(self):
        for node in self.nodes:
            node.ctl("create-md", "vm1")

    def start_both(self):
        for node in self.nodes:
            node.spawn()
        for node in self.nodes:
            node.daemon.wait_for_line(r" ready: ")

    def connect_both(self):
        for node in self.nodes:
            node.ctl("wait-connect", "vm1", "--timeout", "30")

    def synced(self, *nodes):
        """Every copy is UpToDate, and both nodes say so."""
        for node in nodes or self.nodes:
            node.ctl("wait-sync", "vm1", "--timeout", "60", timeout=70)

    def begin(self):
        """Two fresh nodes; alpha is Primary and everything is in sync."""
        self.create_md()
        self.start_both()
        self.connect_both()
        self.alpha.ctl("primary", "vm1", "--force")
        self.synced()

    def stop_both(self):
        """SIGTERM to both at once; both stops have to be clean."""
        for node in self.nodes:
            node.daemon.send_signal(signal.SIGTERM)
        for node in self.nodes:
            self.assertEqual(node.daemon.wait(30), 0, node.daemon.log_tail())
            self.assertIn("stopped cleanly", node.daemon.log())

    def assert_same_images(self):
        """Byte for byte, after the stop; but for metadata at the end."""
        data_alone = ["-n", self.size] if self.internal else []
        baton_test.run(["cmp", *data_alone, self.image(self.alpha), self.image(self.beta)])

    def stop_and_compare(self):
        self.stop_both()
        self.assert_same_images()

    def wait_primary(self, node):
        baton_test.wait_for(lambda: node.status()["role"] == "Primary",
                            f"{node.name} to be Primary again", 20, watch=[node.daemon])

    def make_whole(self):
        """The network is whole, both daemons run, every copy is UpToDate."""
        self.network.heal()
        for node in self.nodes:
            if not node.daemon.is_running():
                node.start()
        self.connect_both()
        self.synced()

    def all_well(self, primary):
        """As make_whole(), and this node is Primary, the other one Secondary."""
        self.make_whole()
        self.assertEqual(primary.status()["role"], "Primary")
        self.assertEqual(self.other(primary).status()["role"], "Secondary")

    def end_by_sigkill(self, node):
        node.daemon.kill()
        node.daemon.wait()

    def failed_so_far(self):
        """Whether a subtest has failed."""
        return any(error for _, error in self._outcome.errors) if hasattr(self._outcome, "errors") \
            else not self._outcome.success

    # --- what a node shows ---

    def connection(self, node):
        (connection,) = node.status()["connections"]
        return connection

    def peer_volume(self, node):
        (volume,) = self.connection(node)["peer_devices"]
        return volume

    def disk_state(self, node):
        return node.status()["devices"][0]["disk-state"]

    def wait_status(self, node, true_of, what, timeout=20):
        """The first status of which true_of(status, its connection) holds."""
        seen = []

        def look():
            status = node.status()
            seen[:] = [status]
            return status if true_of(status, status["connections"][0]) else None

        try:
            return baton_test.wait_for(look, f"{what} on {node.name}", timeout, watch=[node.daemon])
        except baton_test.Failed as late:
            raise baton_test.Failed(f"{late}\nlast status: {json.dumps(seen)}") from None

    def wait_disconnected(self, node, timeout=20):
        return self.wait_status(node, lambda _, peer: peer["connection-state"] != "Connected",
                                "the loss of the peer", timeout)

    def wait_log(self, node, pattern, start=0, timeout=20):
        """A match of `pattern` in the node's log after the first `start` characters of it."""
        return baton_test.wait_for(lambda: re.search(pattern, node.daemon.log()[start:], re.M),
                                   f"{pattern!r} in the log of {node.name}", timeout,
                                   watch=[node.daemon])

    def verdicts(self, node):
        """(data, baton) of every handshake in the log of the node's present daemon."""
        return re.findall(r"settling with \w+: data (\S+), baton (\S+) ", node.daemon.log())

    def dump(self, node):
        (dump,) = json.loads(node.ctl("dump-md", "vm1", "--json").stdout)
        return dump

    # --- clients ---

    def qemu_io(self, node, *commands, check=0, timeout=60):
        words = [word for command in commands for word in ("-c", command)]
        done = baton_test.run(["qemu-io", "-f", "raw", self.uri(node), *words], check=check,
                              timeout=timeout)
        self.assertNotIn("verification failed", done.stdout)
        return done

    def nbdsh(self, script, *, check=0, timeout=60):
        return baton_test.run(["nbdsh", "-c", script], env=DEBIAN_FIRST, check=check,
                              timeout=timeout)

    def fio(self, node, *options, uri=None, **run_options):
        return baton_test.run(self.fio_command(node, *options, uri=uri), cwd=self.folder,
                              timeout=110, **run_options)

    def fio_command(self, node, *options, uri=None):
        return ["fio", "--name=verify", "--ioengine=nbd", f"--uri={uri or self.uri(node)}",
                "--iodepth=16", "--verify=xxhash", "--verify_state_save=0", "--verify_fatal=1",
                *options]

    def start_fio(self, node, *options):
        return self.start(self.fio_command(node, *options), name=f"fio-{node.name}", cwd=self.folder)

    def start_writer(self, node, *, offset, blocks, **options):
        return Writer(self, node, offset, blocks, **options)

    def assert_equal_through_nbd(self):
        baton_test.run(["qemu-img", "compare", "-f", "raw", "-F", "raw", self.uri(self.alpha),
                        self.uri(self.beta)])


WRITER = r"""
import os, sys, time
uri, *numbers = os.environ["WRITER"].split()
offset, blocks, flush_every, first, count = map(int, numbers)
h = nbd.NBD()
h.connect_uri(uri)
print("attached", flush=True)
number = first
slowest = 0.0
while count == 0 or number < first + count:
    data = (b"%015d\n" % number) * 256
    began = time.monotonic()
    try:
        h.pwrite(data, offset + number % blocks * 4096)
        slowest = max(slowest, time.monotonic() - began)
        print("wrote", number, "%.3f" % slowest, flush=True)
        number += 1
        if flush_every and number % flush_every == 0:
            h.flush()
            print("flushed", number, flush=True)
    except nbd.Error as error:
        print("failed", number, error.errno, flush=True)
        break
print("idle", flush=True)
sys.stdin.readline()
h.shutdown()
"""


class Writer:
    """A client that writes numbered 4 KiB blocks, one after the other, round and round in its part of
    the volume, until it is told to stop or `count` are written; then it stays attached."""

    def __init__(self, case, node, offset, blocks, flush_every=16, first=0, count=0):
        self.case = case
        self.offset = offset
        self.blocks = blocks
        self.first = first
        words = f"{case.uri(node)} {offset} {blocks} {flush_every} {first} {count}"
        self.process = case.start(["nbdsh", "-c", WRITER], name=f"writer-{node.name}",
                                  env={**DEBIAN_FIRST, "WRITER": words}, stdin=subprocess.PIPE)
        self.pid = self.process.pid
        self.process.wait_for_line("^attached", timeout=30)

    def written(self):
        """How many numbers were acknowledged, first included."""
        found = re.findall(r"^wrote (\d+)", self.process.log(), re.M)
        return int(found[-1]) + 1 if found else self.first

    def slowest(self):
        """Seconds that its slowest acknowledged write took."""
        found = re.findall(r"^wrote \d+ (\S+)", self.process.log(), re.M)
        return float(found[-1]) if found else 0.0

    def failure(self):
        """The errno's name of a write or a flush that failed, or None."""
        found = re.search(r"^failed \d+ (\S+)", self.process.log(), re.M)
        return found and found[1]

    def wait_written(self, more, timeout=30):
        """Until `more` further numbers are acknowledged."""
        goal = self.written() + more
        baton_test.wait_for(lambda: self.written() >= goal or self.failure(),
                            f"write {goal} of {self.process.name}", timeout, watch=[self.process])
        self.case.assertIsNone(self.failure(), self.process.log_tail())

    def wait_idle(self, timeout=30):
        self.process.wait_for_line("^idle", timeout)

    def end(self):
        self.process.kill()

    def assert_written_in(self, image):
        """Every block holds what was last acknowledged, or what was on its way when it ended."""
        written = self.written()
        with open(image, "rb") as disk:
            for place in range(self.blocks):
                last = written - 1 - (written - 1 - place) % self.blocks
                if last < self.first:
                    continue
                disk.seek(self.offset + place * BLOCK)
                data = disk.read(BLOCK)
                allowed = [stamp(last)]
                if written % self.blocks == place:
                    allowed.append(stamp(written))  # sent, its end not heard of
                self.case.assertIn(data, allowed,
                                   f"block {place} of {image.name}: {data[:16]} is not write {last}")


def stamp(number):
    return (b"%015d\n" % number) * 256
