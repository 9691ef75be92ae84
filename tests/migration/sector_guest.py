"""A guest in one sector, whose disk is a Baton volume, and QEMUs that run it: it boots in a second under
TCG, migrates in milliseconds, counts on its disk for ever, and notices whoever else writes there.

It reads sector 1, compares it with what it wrote last, adds one, writes it. What it finds changed is
another guest's: then it says so in sector 2 and stops.
"""
import json
import pathlib
import socket
import struct
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "guest"))

import nbd  # noqa: E402

from qmp import Qmp  # noqa: E402

SECTOR = 512

HERE = pathlib.Path(__file__).parent
CODE = HERE / "counting_sector.hex"


def boot_sector(file=CODE):
    lines = file.read_text().splitlines()
    code = bytes.fromhex(" ".join(line.partition("#")[0] for line in lines))
    return code.ljust(510, b"\0") + b"\x55\xaa"


class Disk:
    """The volume, seen through the export of a node."""

    def __init__(self, uri):
        self._nbd = nbd.NBD()
        self._nbd.connect_uri(uri)

    def install(self):
        self._nbd.pwrite(boot_sector(), 0)
        self._nbd.flush()

    def count(self):
        return struct.unpack("<I", self._nbd.pread(4, SECTOR))[0]

    def foreign_write_seen(self):
        return self._nbd.pread(4, 2 * SECTOR) != bytes(4)

    def close(self):
        self._nbd.shutdown()


def listener(path):
    path.unlink(missing_ok=True)
    here = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    here.bind(str(path))
    here.listen(4)
    return here


def export_of(node_socket, reconnect_seconds=0):
    """The volume, as a disk of a Machine."""
    return {"driver": "nbd", "export": "vm1", "reconnect-delay": reconnect_seconds,
            "server": {"type": "unix", "path": str(node_socket)}}


class Machine:
    """One QEMU. QMP for batond at NODE.qmp, and `qmp`, ours."""

    def __init__(self, folder, name, disk, incoming=None, boot_file=None):
        """`disk`: the protocol node of its block device; `incoming`: as -incoming, or none. With
        `boot_file` it boots from that file, and `disk` is its second one."""
        self.name = name
        own = folder / f"{name}.own-qmp"
        disk = {"driver": "raw", "node-name": "disk", "file": disk}
        argv = ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", "-nodefaults", "-display",
                "none", "-accel", "tcg", "-m", "64"]
        if boot_file:
            file = {"driver": "file", "filename": str(boot_file)}
            boot = {"driver": "raw", "node-name": "boot", "file": file}
            argv += ["-blockdev", json.dumps(boot), "-device", "virtio-blk-pci,drive=boot,bootindex=0"]
        argv += ["-blockdev", json.dumps(disk),
                 "-device", "virtio-blk-pci,drive=disk,werror=stop,rerror=stop"]
        if incoming:
            argv += ["-incoming", incoming]
        # They listen before QEMU runs, so nobody has to wait for it.
        listeners = [listener(folder / f"{name}.qmp"), listener(own)]
        for number, each in enumerate(listeners):
            argv += ["-chardev", f"socket,id=qmp{number},server=on,wait=off,fd={each.fileno()}",
                     "-mon", f"chardev=qmp{number},mode=control"]
        self.log = open(folder / f"{name}.qemu.log", "ab")
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log,
                                        pass_fds=[each.fileno() for each in listeners])
        for each in listeners:
            each.close()
        self.qmp = Qmp(name, own, out_of_band=True)

    def status(self):
        return self.qmp.execute("query-status")["status"]

    def wait_event(self, name, timeout=60, since=0, **data):
        def match(event):
            return event.name == name and all(event.data.get(key) == value
                                              for key, value in data.items())
        return self.qmp.wait_event(match, timeout, f"{name} {data or ''}", since)

    def mark(self):
        return len(self.qmp.events)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.qmp.close()
        self.log.close()

    def wait_end(self, timeout=30):
        return self.process.wait(timeout)

    def quit(self):
        self.qmp.execute("quit")
        return self.wait_end()
