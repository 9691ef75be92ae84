#!/usr/bin/env python3
"""seeds.py OUTDIR: what the fuzzers begin with, one folder a fuzzer: sessions as real clients hold them,
and every message of the replication protocol at every stage of a session."""
import pathlib
import ssl
import struct
import sys

IHAVEOPT = 0x49484156454F5054
MESSAGE_TYPES = 47  # one more than there are
SYNC_END, SYNC_FINISHED = 19, 20


# --- NBD: a byte that says where to begin (see nbd_session_fuzz.cpp), then what the client says

def option(number, data=b""):
    return struct.pack(">QII", IHAVEOPT, number, len(data)) + data


def name(text):
    return struct.pack(">I", len(text)) + text


def go(number=7, export=b"disk", infos=(3,)):
    return option(number, name(export) + struct.pack(">H", len(infos))
                  + b"".join(struct.pack(">H", info) for info in infos))


def contexts(number, *queries):
    return option(number, name(b"disk") + struct.pack(">I", len(queries))
                  + b"".join(name(query) for query in queries))


def request(command, offset, length, flags=0, payload=b""):
    return struct.pack(">IHHQQI", 0x25609513, flags, command, command, offset, length) + payload


def extended(command, offset, length, flags=0, payload=b""):
    return struct.pack(">IHHQQQ", 0x21E41C71, flags, command, command, offset, length) + payload


def client_hello():
    """The first that a client of TLS says."""
    outgoing = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="alpha")
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass  # as it has to be: nobody answers
    return outgoing.read()


def nbd_seeds():
    both = (b"base:allocation", b"x-baton:out-of-sync")
    commands = [request(0, 0, 4096), request(1, 4096, 512, 0, bytes(512)), request(3, 0, 0),
                request(4, 0, 8192), request(5, 0, 4096), request(6, 8192, 4096, 2),
                request(7, 0, 65536), request(7, 0, 65536, 8), request(0, 1 << 40, 1),
                request(1, 1 << 40, 16, 1, bytes(16)), request(2, 0, 0)]
    long_commands = [extended(0, 0, 4096), extended(1, 4096, 512, 0x20, bytes(512)), extended(3, 0, 0),
                     extended(4, 0, 8192), extended(6, 0, 1 << 33), extended(7, 0, 65536),
                     extended(7, 0, 12, 0x20, struct.pack(">QI", 4096, 2)),
                     extended(7, 0, 16, 0x28, struct.pack(">QII", 4096, 2, 1)),
                     extended(4, 0, 64, 0x20, bytes(64)), extended(2, 0, 0)]
    hello = struct.pack(">I", 3)
    yield 0, hello + option(8) + contexts(10, *both) + go() + b"".join(commands)
    yield 0, hello + option(11) + contexts(9) + contexts(10, *both) + go() + b"".join(long_commands)
    yield 0, hello + option(3) + go(6) + option(2)
    yield 0, hello + option(5) + option(99, bytes(40)) + option(1, b"disk") + b"".join(commands)
    yield 0, struct.pack(">I", 1) + option(1) + b"".join(commands)
    yield 0, hello + option(8) + option(11) + option(8) + contexts(10, b"base:") + go(7, b"")
    for mode in (0x40, 0x80):  # TLS for those who ask, TLS for all
        yield mode, hello + option(3) + option(5) + client_hello()
        yield mode, hello + option(5) + option(8)
        yield mode, hello + option(8) + go() + b"".join(commands)
        yield mode | 1, hello + option(5) + client_hello()
    for pieces in range(4):
        yield 4 + pieces, b"".join(commands)
        yield 8 + pieces, b"".join(commands)
        yield 12 + pieces, b"".join(long_commands)
        for command in range(9):
            yield 8 + pieces, request(command, 4096, 4096, 1, bytes(4096) if command == 1 else b"")
            yield 12 + pieces, extended(command, 4096, 4096, 0x21, bytes(4096))


# --- the link: three bytes that choose the world, then messages (see link_fuzz.cpp)

def message(kind, *, flags=0, shift=0, number=1, follows=0, epoch=1, place=0, shape=0x00, tail=b"\x01"):
    return bytes([kind, 0, flags, shift, number, follows, epoch, place, shape]) + tail


def link_seeds():
    for honest in (0, 1, 2, 3, 4, 6, 12, 40):
        for world in (0, 1, 2, 3, 8, 9):
            begin = bytes([world, honest])
            # Some of everything, so that what is refused in one world is looked at in another.
            for first in range(0, MESSAGE_TYPES, 6):
                kinds = range(first, min(first + 6, MESSAGE_TYPES))
                yield begin + b"".join(message(kind) for kind in kinds)
                yield begin + b"".join(message(kind, shape=0x40, tail=b"", epoch=1 + kind % 3, place=kind)
                                       for kind in kinds)
    for world in range(4):
        for kind in range(1, MESSAGE_TYPES):
            begin = bytes([world, 40])
            yield begin + message(kind, number=2, follows=1, shape=0x90, tail=bytes(16))
            yield begin + b"".join(message(kind, flags=1 << flag, shift=flag % 4, number=flag)
                                   for flag in range(8))


    # A copy that is being filled is told so, or says so, twice: at every moment, in every world.
    for honest in range(4, 60):
        for world in (0, 1, 2, 3, 8, 9):
            for kind in (SYNC_END, SYNC_FINISHED):
                yield bytes([world, honest]) + 2 * message(kind)


def main():
    for folder, seeds in (("nbd_session", nbd_seeds()), ("link", link_seeds())):
        place = pathlib.Path(sys.argv[1]) / folder
        place.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds):
            if folder == "nbd_session":
                seed = bytes([seed[0]]) + seed[1]
            (place / f"seed-{number:04}").write_bytes(seed)


if __name__ == "__main__":
    main()
