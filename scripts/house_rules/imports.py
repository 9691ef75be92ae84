"""Who may include what (docs/architecture.md): layers, pure folders, the engine's four doors."""
import re

from house_rules.source import PRODUCT

# control -> {nbd_server, replication} -> blockdev -> base
MAY_INCLUDE = {
    "base": {"base"},
    "blockdev": {"blockdev", "base"},
    "nbd_server": {"nbd_server", "blockdev", "base"},
    "replication": {"replication", "blockdev", "base"},
    "control": set(PRODUCT),
}
PURE = ("replication/core", "replication/wire", "nbd_server/wire")

_NETWORK = re.compile(
    r"(boost/asio|sys/(socket|epoll|eventfd|un)|netinet/|arpa/|netdb|poll)(\.h|\.hpp|/|$)")
_THREAD = re.compile(r"(thread|mutex|shared_mutex|condition_variable|future|semaphore|barrier|latch"
                     r"|stop_token|pthread\.h)$")
_URING = re.compile(r"liburing")
# What a folder must not include, not even through another header of ours.
SEALED = {
    "pure": [
        (_NETWORK, "no Asio and no socket"),
        (_URING, "no liburing"),
        (_THREAD, "no thread"),
        (re.compile(r"(iostream|ostream|istream|sstream|fstream|spdlog/.*)$"), "no stream and no log"),
    ],
    "engine": [
        (_NETWORK, "the engine reaches peers through Link only"),
        (_URING, "the engine reaches disks through BlockDevice only"),
        (_THREAD, "the engine runs on one shard and starts no thread"),
    ],
}


def check(sources):
    for source in sources.values():
        if source.is_cpp and source.top in MAY_INCLUDE:
            yield from _layers(source, sources)
            if source.under(*PURE):
                yield from _sealed(source, "pure", sources)
            elif source.under("replication"):
                yield from _sealed(source, "engine", sources)


def _layers(source, sources):
    for line, quoted, name in source.includes:
        top = name.split("/", 1)[0]
        ours = top in PRODUCT or top == "tests"
        if quoted and not ours:
            yield source, line, (f'#include "{name}" is not written from the root of the tree: '
                                 f"write the folder as well, or <> for a library")
        elif not quoted and ours and name in sources:
            yield source, line, f'#include <{name}> is our own file: write it with ""'
        elif quoted and top not in MAY_INCLUDE[source.top]:
            allowed = ", ".join(sorted(MAY_INCLUDE[source.top] - {source.top})) or "nothing of ours"
            yield source, line, (f"{source.top} must not include {name}: imports go control -> "
                                 f"{{nbd_server, replication}} -> blockdev -> base, so "
                                 f"{source.top} sees {allowed} besides itself")


def _sealed(source, seal, sources):
    """Follows our own headers, so that a forbidden include cannot come in by a side door."""
    seen = set()
    # (line in source of the first step, the chain of our files, the file to look at)
    open_files = [(None, (source.path,), source)]
    while open_files:
        first_line, chain, current = open_files.pop()
        for line, _, name in current.includes:
            at = first_line or line
            for pattern, reason in SEALED[seal]:
                if pattern.match(name):
                    where = "" if len(chain) == 1 else " (through " + " -> ".join(chain[1:]) + ")"
                    yield source, at, f"includes <{name}>{where}: {reason} here"
            if name in sources and name not in seen:
                seen.add(name)
                open_files.append((at, chain + (name,), sources[name]))
