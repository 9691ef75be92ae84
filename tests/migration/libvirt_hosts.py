"""Two hosts of a test on this machine, each with a libvirtd, a batond and its copy of vm1's disk, and
a guest that libvirt migrates between them.

A host is a set of namespaces (network, mount, UTS, IPC, PID) with a private /run, /etc and /var/lib,
so that libvirt and Baton run there with the paths and names that they have on a real host, and what
is left of it when its init is killed is nothing. The hook and the listener are those of packaging/.
"""
import contextlib
import ctypes
import gzip
import json
import os
import pathlib
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import unittest
import xml.etree.ElementTree as ElementTree

import baton_test

HERE = pathlib.Path(__file__).resolve().parent
PACKAGING = baton_test.SOURCE_DIR / "packaging" / "libvirt"
sys.path.insert(0, str(HERE / "guest"))
import guest  # noqa: E402
from qmp import Qmp  # noqa: E402

PROGRAMS = ["libvirtd", "virsh", "qemu-system-x86_64", "unshare", "nsenter", "ip", "clang++-19", "cpio",
            "busybox", "cmp"]

BATON = """\
[resource]
name       = "vm1"
secret     = "of this test"
fence-hold = "{fence_hold}"

[[volume]]
size = "16MiB"

[node.alpha]
address = "10.77.0.1:7789"
nbd     = ["unix:/run/baton/vm1.sock"]
disks   = ["{folder}/alpha/vm1.img"]

[node.beta]
address = "10.77.0.2:7789"
nbd     = ["unix:/run/baton/vm1.sock"]
disks   = ["{folder}/beta/vm1.img"]
"""

LIBVIRTD_CONF = """\
listen_tls = 0
listen_tcp = 1
listen_addr = "{address}"
auth_tcp = "none"
auth_unix_ro = "none"
auth_unix_rw = "none"
host_uuid = "{uuid}"
log_outputs = "3:stderr"
"""

# No cgroups: both hosts would have the same ones. No virtlogd, no security driver, no users.
QEMU_CONF = """\
security_driver = "none"
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
cgroup_controllers = [ ]
namespaces = [ ]
stdio_handler = "file"
"""

ADDRESSES = {"alpha": "10.77.0.1", "beta": "10.77.0.2"}
UUIDS = {"alpha": "aaaaaaaa-1111-4111-8111-aaaaaaaaaaaa", "beta": "bbbbbbbb-2222-4222-8222-bbbbbbbbbbbb"}
LIBVIRT_PORT = 16509
KERNEL_ARGUMENTS = "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable no_timer_check"
# Hook and listener find batonctl as they would when it is installed.
BATONCTL_FIRST = {**os.environ, "PATH": f"{baton_test.BUILD_DIR}:/usr/sbin:/usr/bin:/sbin:/bin"}
START_SECONDS = 60  # of what takes less than one, on a machine that is busy
BOOT_SECONDS = 90  # 3 s under TCG on an idle core


class Host:
    def __init__(self, case, name, fence_hold):
        self.case, self.name = case, name
        self.address = ADDRESSES[name]
        self.uri = f"qemu+tcp://{self.address}/system"
        self.folder = case.folder / name
        self.image = self.folder / "vm1.img"
        self.console = self.folder / "log" / "libvirt" / "vm1.console"
        self.batond = self.libvirtd = self.listener = self._first_process = None
        etc = self.folder / "etc"
        for place in (etc / "libvirt", etc / "baton", self.folder / "log"):
            place.mkdir(parents=True)
        (etc / "hostname").write_text(f"{name}\n")
        (etc / "hosts").write_text("127.0.0.1 localhost\n" + "".join(
            f"{address} {host}\n" for host, address in ADDRESSES.items()))
        (etc / "libvirt" / "libvirtd.conf").write_text(
            LIBVIRTD_CONF.format(address=self.address, uuid=UUIDS[name]))
        (etc / "libvirt" / "qemu.conf").write_text(QEMU_CONF)
        (etc / "baton" / "vm1.toml").write_text(BATON.format(fence_hold=fence_hold, folder=case.folder))

    def make(self):
        """Its namespaces; they go with the process that this starts."""
        self.case.addCleanup(self._wait_gone)  # comes after the end of that process
        self.init = self.case.start(
            ["unshare", "--mount", "--uts", "--ipc", "--net", "--pid", "--fork", "--kill-child",
             "--mount-proc", HERE / "libvirt_host", self.folder, self.name, PACKAGING],
            name=f"init-{self.name}")
        self.init.wait_for_line("^host is ready$", START_SECONDS)
        (first,) = pathlib.Path(f"/proc/{self.init.pid}/task/{self.init.pid}/children").read_text().split()
        self._first_process = os.pidfd_open(int(first))

    def _wait_gone(self):
        """The first process of a PID namespace ends after all others: nobody writes in our folder."""
        if self._first_process is not None:
            select.select([self._first_process], [], [], START_SECONDS)
            os.close(self._first_process)

    def within(self, *words, processes=False):
        """The words of a command that runs on this host. `processes`: in its PID namespace, too;
        then the program is a child of the process that is started."""
        pids = [f"--pid=/proc/{self.init.pid}/ns/pid_for_children"] if processes else []
        return ["nsenter", f"--target={self.init.pid}", "--mount", "--uts", "--ipc", "--net", *pids,
                "--", *(str(word) for word in words)]

    def run(self, *words, **options):
        return baton_test.run(self.within(*words), **options)

    # Baton

    def start_batond(self):
        self.batond = self.case.start(self.within(baton_test.program("batond"), "--config", "/etc/baton"),
                                      name=f"batond-{self.name}")

    def ctl(self, *words, **options):
        return self.run(baton_test.program("batonctl"), *words, **options)

    def status(self):
        (entry,) = json.loads(self.ctl("--json", "status", "vm1").stdout)
        return entry

    # libvirt

    def start_libvirtd(self):
        self.libvirtd = self.case.start(
            self.within("libvirtd", "--listen", "--pid-file", "/run/libvirtd.pid", processes=True),
            name=f"libvirtd-{self.name}", env=BATONCTL_FIRST)
        self.case.wait_for(lambda: self.virsh("list", check=False).returncode == 0,
                           f"libvirtd on {self.name}", START_SECONDS)

    def start_listener(self):
        self.listener = self.case.start(
            self.within("/usr/local/lib/baton/baton-libvirt-listener", "--verbose"),
            name=f"listener-{self.name}", env=BATONCTL_FIRST)
        self.listener.wait_for_line("^listening to ", START_SECONDS)

    def virsh(self, *words, **options):
        return self.run("virsh", "-q", "-c", "qemu:///system", *words, **options)

    def migration_to(self, uri, *options):
        """The command, live; `uri` is the other libvirtd's."""
        return self.within("virsh", "-q", "-c", "qemu:///system", "migrate", "--live", *options, "vm1", uri)

    def state(self):
        """As `domstate --reason` says it, "" where there is no such guest."""
        return self.virsh("domstate", "vm1", "--reason", check=False).stdout.strip()

    def wait_state(self, wanted, timeout=30):
        try:
            self.case.wait_for(lambda: re.fullmatch(wanted, self.state()), "", timeout)
        except baton_test.Failed:
            raise baton_test.Failed(f"vm1 on {self.name} is {self.state()!r} and not {wanted!r} after "
                                    f"{timeout} s") from None

    def memory_is_copied(self):
        """Whether a migration away from here has begun to."""
        said = self.virsh("domjobinfo", "vm1", check=False).stdout
        found = re.search(r"^Memory processed: +([\d.]+)", said, re.M)
        return found is not None and float(found[1]) > 0

    def wait_qemu_has_let_go(self):
        """Until the source's QEMU has finished with a migration. While it has not quite, it refuses
        to go on, and libvirt 9.0 does not ask it again."""
        with contextlib.closing(Qmp("vm1", self.console.with_name("vm1.qmp"), "")) as qmp:
            self.case.wait_for(lambda: qmp.execute("query-status")["status"] == "postmigrate",
                               f"QEMU on {self.name} to be done", 30)

    # What the guest says here

    def said(self):
        try:
            return self.console.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def stamp(self):
        """The newest stamp that the guest has reported here, 0 if none."""
        found = re.findall(r"^stamper: n=(\d+) mismatches=\d+ errors=\d+\r?$", self.said(), re.M)
        return int(found[-1]) if found else 0

    def wait_stamps(self, more=2, timeout=30):
        """Until the guest has reported `more` times more, here: it runs and its writes are admitted."""
        before = len(re.findall(r"^stamper: n=", self.said(), re.M))
        try:
            self.case.wait_for(
                lambda: len(re.findall(r"^stamper: n=", self.said(), re.M)) >= before + more, "", timeout)
        except baton_test.Failed:
            raise baton_test.Failed(
                f"the guest did not write on {self.name} within {timeout} s; it is {self.state()!r} there, "
                f"said {self.said()[-300:]!r}; Baton: {self.status()}\n"
                f"{self.batond.log_tail(15)}") from None



class Hosts:
    """alpha and beta, in sync, alpha Primary."""

    def __init__(self, case, fence_hold="3s"):
        self.case = case
        self.alpha, self.beta = self.both = [Host(case, name, fence_hold) for name in ADDRESSES]

    def begin(self, listeners=False):
        for host in self.both:
            host.make()
        self._link()
        for host in self.both:
            host.ctl("create-md", "vm1")
            host.start_batond()
        for host in self.both:
            host.batond.wait_for_line(r" ready: ", START_SECONDS)
            host.start_libvirtd()
        self.alpha.ctl("wait-connect", "vm1", "--timeout", "30")
        self.alpha.ctl("primary", "vm1", "--force")
        for host in self.both:
            host.ctl("wait-sync", "vm1", "--timeout", "60")
            if listeners:
                host.start_listener()

    def other(self, host):
        return self.beta if host is self.alpha else self.alpha

    def create(self, host):
        """Starts a guest, which then boots."""
        domain = self.case.folder / "vm1.xml"
        domain.write_text(domain_xml(build_guest()))
        host.virsh("create", domain)

    def start_guest(self, host):
        self.create(host)
        host.wait_stamps(timeout=BOOT_SECONDS)

    def migrate(self, source, *options, timeout=60):
        """To the other host, which is returned."""
        destination = self.other(source)
        baton_test.run(source.migration_to(destination.uri, *options), timeout=timeout)
        return destination

    def end(self):
        """The guest is ended wherever it is, then both daemons; both copies hold the same bytes."""
        for host in self.both:
            if host.state():
                host.virsh("destroy", "vm1")
        for host in self.both:
            host.batond.send_signal(signal.SIGTERM)
        for host in self.both:
            self.case.assertEqual(host.batond.wait(30), 0, host.batond.log_tail())
        baton_test.run(["cmp", self.alpha.image, self.beta.image])

    def _link(self):
        """One end on each host, made there: the machine's own network never sees it."""
        self.alpha.run("ip", "link", "add", "link0", "type", "veth", "peer", "name", "link0", "netns",
                       str(self.beta.init.pid))
        for host in self.both:
            host.run("ip", "address", "add", f"{host.address}/24", "dev", "link0")
            host.run("ip", "link", "set", "link0", "up")


def build_guest():
    """The kernel and initramfs of the other migration tests, with the stamper in the agent's place:
    a second archive behind the first one, whose files win."""
    folder = baton_test.BUILD_DIR / "stamping_guest"
    base = guest.build(baton_test.BUILD_DIR / "guest")
    source = HERE / "guest" / "stamper" / "stamper.cpp"
    made = folder / "initrd.gz"
    newest = max(path.stat().st_mtime for path in (source, base / "initrd.gz"))
    if not made.exists() or made.stat().st_mtime < newest:
        (folder / "root" / "bin").mkdir(parents=True, exist_ok=True)
        baton_test.run(["clang++-19", "-std=c++23", "-O2", "-static", "-Wall", "-Wextra", "-Werror", "-o",
                        folder / "root" / "bin" / "stamper", source])
        agent = folder / "root" / "bin" / "agent"
        agent.write_text("#!/bin/sh\nexec stamper /dev/vda\n")
        agent.chmod(0o755)
        archive = subprocess.run(
            ["cpio", "--quiet", "-o", "-H", "newc", "--owner", "0:0"], cwd=folder / "root", check=True,
            input=b"bin\nbin/stamper\nbin/agent\n", stdout=subprocess.PIPE).stdout
        part = made.with_suffix(".part")
        part.write_bytes((base / "initrd.gz").read_bytes() + gzip.compress(archive, 1))
        part.rename(made)
    return {"kernel": base / "vmlinuz", "initrd": made, "cmdline": KERNEL_ARGUMENTS}


def domain_xml(boot):
    """The domain that we tell people to copy, with the test's kernel and console, under TCG."""
    domain = ElementTree.parse(PACKAGING / "vm1.xml").getroot()
    domain.set("type", "qemu")
    domain.find("memory").text = "192"
    domain.find("memory").set("unit", "MiB")
    domain.find("vcpu").text = "1"
    system = domain.find("os")
    system.remove(system.find("boot"))
    for name, value in boot.items():
        ElementTree.SubElement(system, name).text = str(value)
    devices = domain.find("devices")
    devices.remove(devices.find("console"))
    devices.append(ElementTree.fromstring(
        "<serial type='file'><source path='/var/log/libvirt/vm1.console' append='on'/></serial>"))
    devices.append(ElementTree.fromstring("<controller type='usb' model='none'/>"))
    devices.append(ElementTree.fromstring("<memballoon model='none'/>"))
    domain.append(ElementTree.fromstring(
        "<q:commandline xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'><q:arg value='-qmp'/>"
        "<q:arg value='unix:/var/log/libvirt/vm1.qmp,server=on,wait=off'/></q:commandline>"))
    return ElementTree.tostring(domain, encoding="unicode")


def newest_stamp_of(image):
    """The newest that the guest has written."""
    return max(int(number) for number in re.findall(rb"stamp (\d+)\0", image.read_bytes()))


def require_python_libvirt():
    """Debian's, for the listener."""
    if subprocess.run(["/usr/bin/python3", "-c", "import libvirt"], stderr=subprocess.DEVNULL,
                      check=False).returncode != 0:
        raise unittest.SkipTest("not installed: python3-libvirt (scripts/install-deps)")


# Of libvirt's remote protocol (src/remote/remote_protocol.x).
REMOTE_PROGRAM = 0x20008086
FINISH3_PARAMS = 306
CALL, REPLY = 0, 1
HEADER = struct.Struct(">7I")  # length, program, version, procedure, type, serial, status
CLONE_NEWNET = 0x40000000


class FinishLost:
    """Between libvirt's client (virsh, or with --p2p the source's libvirtd) and the destination's
    libvirtd. When the client asks the destination to finish the migration, `lost` is kept here, "request"
    or "reply". cut() is the end of the client's connection. A request is delivered by deliver(), as late
    as to a libvirtd that was frozen for longer than the client's patience.
    """

    def __init__(self, case, source, destination, lost):
        self._lost = lost
        self._destination = destination.address
        self.uri = f"qemu+tcp://{source.address}:{LIBVIRT_PORT + 1}/system"
        self.reached = threading.Event()  # what is to be lost is here
        self._cut = threading.Event()
        self._deliver = threading.Event()
        listening = threading.Event()
        thread = threading.Thread(
            target=self._carry, args=(f"/proc/{source.init.pid}/ns/net", source.address, listening),
            daemon=True)
        thread.start()
        case.assertTrue(listening.wait(10), "the proxy listens")

    def cut(self):
        self._cut.set()

    def deliver(self):
        self._deliver.set()

    def _carry(self, network, address, listening):
        _enter_network(network)  # of this thread alone
        with socket.create_server((address, LIBVIRT_PORT + 1)) as server:
            listening.set()
            client = server.accept()[0]
        with client, socket.create_connection((self._destination, LIBVIRT_PORT)) as daemon:
            wanted = CALL if self._lost == "request" else REPLY
            others = {client: daemon, daemon: client}
            while True:
                for ready in select.select(list(others), [], [])[0]:
                    message = _receive(ready)
                    if not message:
                        return
                    _, program, _, procedure, kind, _, _ = HEADER.unpack_from(message)
                    if (program, procedure, kind) == (REMOTE_PROGRAM, FINISH3_PARAMS, wanted):
                        self._lose(client, daemon, message)
                        return
                    others[ready].sendall(message)

    def _lose(self, client, daemon, message):
        self.reached.set()
        self._cut.wait()
        client.shutdown(socket.SHUT_RDWR)
        if self._lost == "request":
            self._deliver.wait()
            daemon.sendall(message)
        while _receive(daemon):  # libvirtd ends a migration whose client is gone
            pass


def _receive(stream):
    """One message of libvirt's; b"" at the end."""
    head = _receive_exactly(stream, 4)
    return head and head + _receive_exactly(stream, struct.unpack(">I", head)[0] - 4)


def _receive_exactly(stream, count):
    data = b""
    while len(data) < count:
        part = stream.recv(count - len(data))
        if not part:
            return b""
        data += part
    return data


def _enter_network(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {path}")
    finally:
        os.close(descriptor)
