"""Which Baton resources a libvirt domain uses, and batonctl towards them. Shared by the hook and the
listener. It never calls libvirt: a hook that does waits for itself."""
import json
import pathlib
import socket
import subprocess
import sys
import tomllib
import xml.etree.ElementTree

CONFIG = pathlib.Path("/etc/baton")  # as batond's --config: a directory, or one file
NODE = socket.gethostname()  # as batond's --node
BATONCTL = ["batonctl"]  # with --config, --node and --run-dir, where they are not the defaults
# batonctl answers in milliseconds. libvirt has no limit of its own for a hook.
ANSWER_SECONDS = 30


class Refused(Exception):
    """With the sentence for whoever asked."""


def resources_of(domain_xml):
    """The names of the resources that the domain's disks belong to on this node, each once."""
    exports = set(_nbd_exports(domain_xml))
    if not exports:
        return []  # not ours: what is wrong in Baton's configuration is none of its business
    return sorted({name for name, sockets in _listeners() for path, export in exports
                   if path in sockets and _is_of(export, name)})


def batonctl(*words):
    """What it printed. Refused, with its own sentence, where it fails."""
    try:
        done = subprocess.run([*BATONCTL, *words], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=ANSWER_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Refused(f"batonctl could not be asked: {error}") from None
    if done.returncode != 0:
        raise Refused(done.stderr.strip() or f"batonctl ended with {done.returncode}")
    return done.stdout


def is_primary(resource):
    (status,) = json.loads(batonctl("--json", "status", resource))
    return status["role"] == "Primary"


def complain(sentence):
    """For the log of libvirtd, or the journal; and of a hook that fails, for who asked for the start."""
    print(f"baton: {sentence}", file=sys.stderr, flush=True)


def _nbd_exports(domain_xml):
    """(path of the unix socket, export) of each disk that QEMU reaches over NBD."""
    for source in xml.etree.ElementTree.fromstring(domain_xml).iterfind(
            "./devices/disk[@type='network']/source[@protocol='nbd']"):
        for host in source.iterfind("./host[@transport='unix']"):
            yield _plain(host.get("socket", "")), source.get("name", "")


def _listeners():
    """(resource, the paths of the unix sockets that it is reached by here) of each resource."""
    files = sorted(CONFIG.glob("*.toml")) if CONFIG.is_dir() else [CONFIG]
    for file in files:
        try:
            settings = tomllib.loads(file.read_text())
            here = settings["node"].get(NODE, {})
            yield settings["resource"]["name"], {
                # Relative paths are relative to the file.
                _plain(file.parent / listener.removeprefix("unix:"))
                for listener in here.get("nbd", []) if listener.startswith("unix:")}
        except (OSError, ValueError, LookupError) as error:
            raise Refused(f"{file}: {error}") from None


def _is_of(export, resource):
    # Volume 1's export is "vm1/1"; the default export is that of the only resource of the socket.
    return export == "" or export.partition("/")[0] == resource


def _plain(path):
    return str(pathlib.Path(path).resolve())  # /var/run is /run
