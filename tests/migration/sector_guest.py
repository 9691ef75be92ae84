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

# 16-bit code at 0x7c00; the BIOS reads and writes (int 0x13, AH 42 and 43), buffer at 0x8000.
CODE = bytes.fromhex(
    "31c0"              # xor ax, ax
    "8ed8" "8ed0"       # mov ds, ax; mov ss, ax
    "bc007c"            # mov sp, 0x7c00
    "8816007e"          # mov [0x7e00], dl: the boot drive
    "b442" "e83900"     # read sector 1
    "668b1e0080"        # mov ebx, [buffer]: count on from there
    # next:
    "b442" "e82f00"     # read sector 1
    "66391e0080"        # cmp [buffer], ebx: still ours?
    "7513"              # jne foreign
    "6643"              # inc ebx
    "66891e0080"        # mov [buffer], ebx
    "66891efc81"        # mov [buffer + 508], ebx
    "b443" "e81700"     # write sector 1
    "ebe1"              # jmp next
    # foreign:
    "66c70600803254574f"  # mov dword [buffer], "2TWO"
    "ff06637c"          # inc word [sector]: 2
    "b443" "e80300"     # write it
    "f4" "ebfd"         # stop: hlt; jmp stop
    # disk: (AH: the command)
    "50" "30c0"         # push ax; xor al, al
    "8a16007e"          # mov dl, [0x7e00]
    "be5b7c"            # mov si, packet
    "cd13" "58"         # int 0x13; pop ax
    "72f1" "c3"         # jc disk: try again; ret
    "10000100" "00800000" "01000000" "00000000")  # packet: sector 1, one sector, to 0:0x8000


def boot_sector():
    return CODE.ljust(510, b"\0") + b"\x55\xaa"


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


class Machine:
    """One QEMU. QMP for batond at NODE.qmp, and `qmp`, ours."""

    def __init__(self, folder, name, uri, incoming=False, reconnect_seconds=0):
        self.folder, self.name = folder, name
        own = folder / f"{name}.own-qmp"
        disk = {"driver": "raw", "node-name": "disk",
                "file": {"driver": "nbd", "export": "vm1",
                         "reconnect-delay": reconnect_seconds,
                         "server": {"type": "unix", "path": str(uri)}}}
        argv = ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", "-nodefaults", "-display",
                "none", "-accel", "tcg", "-m", "64", "-blockdev", json.dumps(disk),
                "-device", "virtio-blk-pci,drive=disk,werror=stop,rerror=stop"]
        if incoming:
            argv += ["-incoming", "defer"]
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
        self.qmp = Qmp(name, own)

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
