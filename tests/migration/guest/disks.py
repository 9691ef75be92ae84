"""How a Baton volume is attached to QEMU: NBD under raw, as the migration guide recommends."""

import json
import urllib.parse

from channel import GuestError


def nbd_blockdev(uri, number):
    """The -blockdev for an NBD URI: nbd+unix:///EXPORT?socket=PATH or nbd://HOST[:PORT]/EXPORT."""
    parts = urllib.parse.urlsplit(uri)
    if parts.scheme == "nbd+unix":
        path = urllib.parse.parse_qs(parts.query).get("socket", [""])[0]
        server = {"type": "unix", "path": path}
    elif parts.scheme == "nbd":
        path = parts.hostname or ""
        server = {"type": "inet", "host": path, "port": str(parts.port or 10809)}
    else:
        path = ""
    if not path:
        raise GuestError(f"{uri}: not an NBD URI that QEMU can use; write "
                         "nbd+unix:///EXPORT?socket=PATH or nbd://HOST:PORT/EXPORT")
    return {
        "driver": "raw", "node-name": f"disk{number}", "cache": {"direct": True},
        "discard": "unmap", "detect-zeroes": "unmap",
        "file": {
            "driver": "nbd", "node-name": f"nbd{number}", "server": server,
            "export": urllib.parse.unquote(parts.path[1:]),
            "reconnect-delay": 30,  # a restarted daemon is a pause, not an error
            "open-timeout": 10,
        },
    }


def arguments(disks):
    """QEMU's arguments for `disks`: NBD URIs, or blockdev objects (as dict or JSON text), one a
    disk. They are /dev/vda, vdb ... in the guest. Any error stops the guest (werror=stop): what
    the storage gets wrong shows as a pause with a reason, never as a broken filesystem."""
    result = []
    for number, disk in enumerate(disks):
        if isinstance(disk, str):
            is_json = disk.lstrip().startswith("{")
            disk = json.loads(disk) if is_json else nbd_blockdev(disk, number)
        node = disk.setdefault("node-name", f"disk{number}")
        result += ["-blockdev", json.dumps(disk),
                   "-device", f"virtio-blk-pci,drive={node},id=vd{number},"
                              "werror=stop,rerror=stop,write-cache=on"]
    return result
