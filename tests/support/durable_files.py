"""Files whose fate is known: a writer that says what is durable, and the record of what it said.

    durable_files.py FOLDER SEED FIRST    writes in FOLDER until SIGTERM, operations FIRST and on

It prints `begin N ...` before an operation and `durable N ...` once fsync of the file, and of the
folder where a name has changed, has returned. An operation that was begun and is not durable may
have happened or not. An error ends it: `failed N ERRNO`."""
import errno
import hashlib
import os
import pathlib
import random
import signal
import sys
from typing import NamedTuple

FILES = 48  # of a folder, about
LARGEST = 96 << 10
GROWTH = 32 << 10
HEADER = 16
BLOCK = 1024  # of the filesystem, at least


def content(identity, size):
    """The first `size` bytes of the file that operation `identity` has made: what is appended
    follows from what is there, and no two files of a folder are alike."""
    header = b"%015d\n" % identity
    return (header + hashlib.shake_128(header).digest(size))[:size]


def checksum(data):
    return hashlib.sha256(data).hexdigest()


# --- the writer ---


class FileWriter:
    def __init__(self, folder, seed, first):
        self.folder = pathlib.Path(folder)
        self.random = random.Random(seed * 1_000_003 + first)
        self.number = first - 1
        self.sizes = {path.name: path.stat().st_size for path in self.folder.iterdir()}
        self.identities = {name: self.identity_of(name) for name in self.sizes}
        self.directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self.ended = False
        signal.signal(signal.SIGTERM, self.end)

    def identity_of(self, name):
        """None for one of which a crash has left a part."""
        data = (self.folder / name).read_bytes()
        header = data[:HEADER]
        if len(header) < HEADER or not header.strip().isdigit():
            return None
        return int(header) if data == content(int(header), len(data)) else None

    def end(self, *_):
        self.ended = True

    def say(self, *words):
        print(*words, flush=True)

    def begin(self, *words):
        self.number += 1
        self.say("begin", self.number, *words)

    def run(self):
        self.say("writing")
        while not self.ended:
            try:
                self.operation()
            except OSError as error:
                self.say("failed", self.number, errno.errorcode.get(error.errno, error.errno))
                return
        self.say("ended")

    def operation(self):
        for name, identity in self.identities.items():
            if identity is None:
                return self.remove(name)
        names = sorted(self.sizes)
        if len(names) < 4:
            return self.create()
        if len(names) >= FILES:
            return self.random.choice((self.remove, self.replace))(self.random.choice(names))
        kind = self.random.choice((self.create, self.create, self.append, self.append, self.rename,
                                   self.replace, self.remove))
        return kind() if kind == self.create else kind(self.random.choice(names))

    def create(self):
        size = self.random.randrange(HEADER, LARGEST)
        name = f"f{self.number + 1:06}"
        self.begin("create", name, size)
        self.write(name, os.O_CREAT | os.O_EXCL, content(self.number, size))
        os.fsync(self.directory)
        self.sizes[name], self.identities[name] = size, self.number
        self.say_durable(name)

    def append(self, name):
        size = self.sizes[name] + self.random.randrange(1, GROWTH)
        self.begin("append", name, size)
        self.write(name, os.O_APPEND, content(self.identities[name], size)[self.sizes[name]:])
        self.sizes[name] = size
        self.say_durable(name)

    def rename(self, name):
        self.move(name, f"f{self.number + 1:06}")

    def replace(self, name):
        """As those do who want either the old file or the new one, and nothing between."""
        others = [other for other in sorted(self.sizes) if other != name]
        self.move(name, self.random.choice(others))

    def move(self, name, to):
        self.begin("rename", name, to)
        os.rename(self.folder / name, self.folder / to)
        os.fsync(self.directory)
        self.sizes[to], self.identities[to] = self.sizes.pop(name), self.identities.pop(name)
        self.say_durable(to)

    def remove(self, name):
        self.begin("remove", name)
        os.unlink(self.folder / name)
        os.fsync(self.directory)
        del self.sizes[name], self.identities[name]
        self.say("durable", self.number, name, "gone")

    def write(self, name, flags, data):
        file = os.open(self.folder / name, os.O_WRONLY | flags, 0o644)
        try:
            while data:
                data = data[os.write(file, data):]
            os.fsync(file)
        finally:
            os.close(file)

    def say_durable(self, name):
        size = self.sizes[name]
        self.say("durable", self.number, name, size, checksum(content(self.identities[name], size)))


# --- what it said ---


class File(NamedTuple):
    identity: int
    size: int
    checksum: str


class Operation(NamedTuple):
    kind: str
    number: int
    name: str
    to: str  # of a rename
    size: int  # of what is created or appended to, afterwards


class FileRecord:
    """What the files of one folder have to be, from what its writers have printed."""

    def __init__(self):
        self.files = {}
        self.open = None  # begun and not known to be durable
        self.first = 1    # number of the next writer's first operation
        self.durable = 0  # facts so far

    def hear(self, text):
        """All that one writer has printed."""
        for line in text.splitlines():
            word, *rest = line.split(" ")
            if word == "begin":
                self.begin(*rest)
            elif word == "durable":
                self.settle(*rest)

    def begin(self, number, kind, name, last=""):
        size = int(last) if kind in ("create", "append") else 0
        self.open = Operation(kind, int(number), name, last, size)
        self.first = int(number) + 1

    def settle(self, number, name, size, digest=""):
        done = self.open
        assert done and done.number == int(number), f"durable {number}, and open is {done}"
        if done.kind == "remove":
            del self.files[name]
        else:
            before = self.files.pop(done.name, None)
            identity = done.number if done.kind == "create" else before.identity
            self.files[name] = File(identity, int(size), digest)
        self.open = None
        self.durable += 1

    def check(self, folder):
        """What is wrong in `folder`, one sentence each. What the open operation has left counts
        from here on."""
        found = {path.name: path.read_bytes() for path in pathlib.Path(folder).iterdir()}
        partly = self._decide_open(found)
        wrong = [f"{name} ({len(data)} bytes) was not to be there"
                 for name, data in sorted(found.items()) if name not in self.files]
        for name, file in sorted(self.files.items()):
            if name not in found:
                wrong.append(f"{name} ({file.size} bytes) is missing")
            elif name == partly:
                wrong += self._check_partly(name, file, found[name])
            elif len(found[name]) != file.size:
                wrong.append(f"{name} has {len(found[name])} bytes, not {file.size}")
            elif checksum(found[name]) != file.checksum:
                wrong.append(f"{name} ({file.size} bytes) differs "
                             f"{first_difference(file, found[name])}")
        return wrong

    def _decide_open(self, found):
        """Whether the open operation has happened is for the filesystem to say. Returns the name of
        the file that may be longer than its durable part."""
        done, self.open = self.open, None
        if done is None:
            return None
        if done.kind == "append" or (done.kind == "create" and done.name in found):
            self._reach = done.size
            self.files.setdefault(done.name, File(done.number, 0, checksum(b"")))
            return done.name
        if done.kind == "rename" and done.name not in found:
            self.files[done.to] = self.files.pop(done.name)
        if done.kind == "remove" and done.name not in found:
            del self.files[done.name]
        return None

    def _check_partly(self, name, file, data):
        self.files[name] = File(file.identity, len(data), checksum(data))
        if not file.size <= len(data) <= self._reach:
            return [f"{name} has {len(data)} bytes, not {file.size} to {self._reach}"]
        if checksum(data[:file.size]) != file.checksum or not self._written_or_not(file, data):
            return [f"{name} ({file.size} bytes durable, of {self._reach} to be) differs "
                    f"{first_difference(file, data)}"]
        return []

    def _written_or_not(self, file, data):
        """ext4 may commit the size of a file when its blocks are allocated and not yet written:
        they read as zeroes then, on any disk."""
        right = content(file.identity, len(data))
        for start in range(0, len(data), BLOCK):
            end = min(start + BLOCK, len(data))
            durable = max(start, min(file.size, end))
            unwritten = right[start:durable] + bytes(end - durable)
            if data[start:end] not in (right[start:end], unwritten):
                return False
        return True


def first_difference(file, data):
    right = content(file.identity, len(data))
    for place, (found, wanted) in enumerate(zip(data, right)):
        if found != wanted:
            end = place + 16
            return f"from byte {place} on: {data[place:end]!r}, not {right[place:end]!r}"
    return "in its checksum alone"


if __name__ == "__main__":
    FileWriter(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])).run()
