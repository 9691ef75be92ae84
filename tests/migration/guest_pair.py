"""Two Baton nodes on this machine, alpha and beta, and a guest that moves between them. For the
migration test and for scripts/demo.

Everything lives in one folder: vm1.toml, the images, the sockets, the logs. The guest's machine on a
node has the node's name, so its QMP socket is NODE.qmp, as the configuration says.
"""

import contextlib
import json
import os
import pathlib
import select
import shlex
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "guest"))

import guest
import record_file

NAMES = ("alpha", "beta")
READY_SECONDS = 30
STOP_SECONDS = 30

CONFIG = """\
[resource]
name   = "vm1"
secret = "not so secret: both nodes are on this machine"
{options}
[[volume]]
size = "{size_mib}MiB"

[node.alpha]
address = "127.0.0.1:{ports[0]}"
nbd     = ["unix:alpha.sock"]
disks   = ["alpha.img"]
qmp     = "alpha.qmp"

[node.beta]
address = "127.0.0.1:{ports[1]}"
nbd     = ["unix:beta.sock"]
disks   = ["beta.img"]
qmp     = "beta.qmp"
"""


class PairError(Exception):
    pass


class Pair:
    """A context manager; leaving it kills what still runs, unless it was started to outlive us."""

    def __init__(self, folder, build_dir, size_mib=256, options="", outlive=False):
        self.folder, self.build_dir = pathlib.Path(folder), pathlib.Path(build_dir)
        self.config = self.folder / "vm1.toml"
        self._outlive = outlive
        self._daemons = {}
        self.config.write_text(CONFIG.format(size_mib=size_mib, options=options, ports=_free_ports(2)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if not self._outlive:
            self.kill()

    def begin(self):
        """A fresh pair; alpha is Primary and everything is in sync."""
        for name in NAMES:
            self.ctl(name, "create-md", "vm1")
        for name in NAMES:
            self.start_node(name)
        self.ctl("alpha", "wait-connect", "vm1", "--timeout", "30")
        self.ctl("alpha", "primary", "vm1", "--force")
        for name in NAMES:
            self.ctl(name, "wait-sync", "vm1", "--timeout", "60")

    # The nodes

    def start_node(self, name):
        """Returns when it says that it is ready."""
        command = [self.build_dir / "batond", "--debug", *self.options(name)]
        if not self._outlive:
            command = ["setpriv", "--pdeathsig", "KILL", *command]
        with _ReadySocket(self.folder / f"{name}.notify") as ready, \
             open(self.log(name), "ab") as log:
            self._daemons[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, "NOTIFY_SOCKET": str(ready.path)})
            if not ready.wait(self._daemons[name].pid):
                raise PairError(f"batond on {name} did not become ready:\n{self.log_tail(name)}")

    def stop_nodes(self):
        """SIGTERM to both at once; fails unless both stops are clean."""
        for daemon in self._daemons.values():
            daemon.terminate()
        for name, daemon in self._daemons.items():
            try:
                status = daemon.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                status = f"nothing within {STOP_SECONDS} s"
            if status != 0:
                raise PairError(f"batond on {name} ended with {status}:\n{self.log_tail(name)}")
        self._daemons.clear()

    def kill(self):
        for daemon in self._daemons.values():
            daemon.kill()
            daemon.wait()
        self._daemons.clear()

    def daemon_pid(self, name):
        return self._daemons[name].pid

    def options(self, name):
        return ["--config", self.config, "--node", name, "--run-dir", self.folder / f"run-{name}"]

    def command(self, name, *words):
        """batonctl towards a node, as a list of words."""
        return [str(word) for word in (self.build_dir / "batonctl", *self.options(name), *words)]

    def ctl(self, name, *words, show=False):
        """What it printed; PairError with its sentence if it fails. `show`: its progress is ours."""
        done = subprocess.run(self.command(name, *words), stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=None if show else subprocess.PIPE,
                              check=False)
        if done.returncode != 0:
            raise PairError(f"batonctl {shlex.join(map(str, words))} on {name} ended with "
                            f"{done.returncode}: {(done.stderr or 'the reason is above').strip()}")
        return done.stdout

    def status(self, name):
        (entry,) = json.loads(self.ctl(name, "status", "vm1", "--json"))
        return entry

    def image(self, name):
        return self.folder / f"{name}.img"

    def log(self, name):
        return self.folder / f"{name}.batond.log"

    def log_tail(self, name, lines=40):
        return "\n".join(self.log(name).read_text(errors="replace").splitlines()[-lines:])

    def uri(self, name):
        return f"nbd+unix:///vm1?socket={self.folder / f'{name}.sock'}"

    # The guest

    def machine(self, name, guest_dir, **options):
        """A QEMU on node `name`, whose disk is the volume; see guest.Machine.start."""
        return guest.Machine.start(self.folder, name, [self.uri(name)], guest_dir, **options)

    def migrate(self, asked, *words, show=False):
        """`batonctl migrate`, asked of node `asked`; its figures."""
        return json.loads(self.ctl(asked, "--json", "migrate", "vm1", *words, show=show))

    # At the end

    def compare_images(self):
        """PairError unless both copies hold the same bytes. With the nodes stopped."""
        done = subprocess.run(["cmp", self.image("alpha"), self.image("beta")], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode != 0:
            raise PairError(f"the images differ: {done.stdout.strip()}")

    def check_image(self, name, guest_dir, acknowledged):
        """PairError unless filesystem and records are whole in the copy of node `name`, up to the
        record that was acknowledged last. Returns the checker's verdict."""
        image, records = self.image(name), self.folder / f"{name}.records"
        if not record_file.filesystem_is_clean(image):
            raise PairError(f"e2fsck finds errors in {image}")
        record_file.extract(image, records)
        verdict = record_file.check(guest_dir / "guest_writer", records, acknowledged)
        records.unlink()
        if verdict["check"] != "ok":
            raise PairError(f"the records in {image} are not whole: {verdict}")
        return verdict


def judge_guest(machine, witness):
    """The guest reads everything back, is stopped, and its filesystem is checked. PairError if a
    promise was broken; else what the guest says: {"records", "readbacks"}."""
    verdict = machine.check(witness.acknowledged())
    if not verdict["ok"] or verdict["kernel_errors"]:
        raise PairError(f"the check in the guest fails: {verdict}")
    if not verdict["disks"]["vda"]["past_page_cache"]:
        raise PairError(f"the guest checked its memory instead of its disk: {verdict}")
    stopped = machine.ask("stop")
    fsck = machine.ask("fsck")
    if not stopped["ok"] or not fsck["ok"]:
        raise PairError(f"the guest's filesystem is not whole: {stopped} {fsck}")
    written = stopped["disks"]["vda"]
    witness.wait_until({"vda": written["records"]})
    if witness.contradictions:
        raise PairError(f"two guests have run at once: {witness.contradictions}")
    return {"records": written["records"], "readbacks": written["readbacks"]}


class _ReadySocket:
    """What a service manager would give a daemon: where to say that it is ready."""

    def __init__(self, path):
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))

    def wait(self, pid):
        """False if the process ends first, or says nothing in time."""
        pidfd = os.pidfd_open(pid)
        try:
            readable, _, _ = select.select([self._socket, pidfd], [], [], READY_SECONDS)
            return self._socket in readable and b"READY=1" in self._socket.recv(4096)
        finally:
            os.close(pidfd)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()
        self.path.unlink(missing_ok=True)


def _free_ports(count):
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
