"""guest_writer's file as a test sees it from outside: found in an image, taken apart, damaged.

The layout is that of guest/guest_writer/records.h.
"""

import collections
import json
import mmap
import os
import struct
import subprocess

BLOCK = 4096
LOG_OFFSET = 257 * BLOCK
_HEADER = struct.Struct("<QQQIIQ")  # seed, sequence, time, kind, size, checksum

Record = collections.namedtuple("Record", "sequence offset size header")


def extract(image, target):
    """Copies the writer's file out of an unmounted ext4 image."""
    _run("debugfs", "-R", f"dump /records {target}", str(image))


def filesystem_is_clean(image):
    done = subprocess.run(["e2fsck", "-fn", str(image)], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, env=_environment(), check=False)
    return done.returncode == 0


def check(writer, path, acknowledged=None):
    """The verdict of `guest_writer --check`, whose exit status must agree with it."""
    promise = [] if acknowledged is None else ["--acked", str(acknowledged)]
    done = subprocess.run([str(writer), "--check", str(path), *promise], stdout=subprocess.PIPE,
                          check=False)
    verdict = json.loads(done.stdout)
    assert (done.returncode == 0) == (verdict["check"] == "ok"), (done.returncode, verdict)
    return verdict


def records(path):
    """The records of the log, in order."""
    found, offset = [], LOG_OFFSET
    with open(path, "rb") as file:
        content = file.read()
    while offset < len(content):
        header = content[offset:offset + _HEADER.size]
        _, sequence, _, _, size, _ = _HEADER.unpack(header)
        found.append(Record(sequence, offset, size, header))
        offset += size
    return found


def slot_sequences(path):
    """What each slot holds, by the slot's offset; 0 for none."""
    with open(path, "rb") as file:
        content = file.read(LOG_OFFSET)
    return {offset: _HEADER.unpack_from(content, offset)[1]
            for offset in range(BLOCK, LOG_OFFSET, BLOCK)}


def offset_in_image(image, record):
    """Where a record's first byte is in an image; its header occurs once."""
    with open(image, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as content:
        position = content.find(record.header)
        assert position >= 0, f"record {record.sequence} is not in {image}"
        return position


def overwrite(path, offset, content):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(content)


def flip(path, offset):
    """Changes one bit."""
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def _run(*command):
    subprocess.run(command, check=True, env=_environment(), stderr=subprocess.DEVNULL)


def _environment():
    return {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
