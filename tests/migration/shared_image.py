"""One image behind two NBD servers: what a pair of nodes looks like to QEMU, without Baton.

Both servers write the same file past the page cache, so whichever side the guest runs on, the data
is right by construction. What fails on top of this is the guest's or QEMU's fault, not a storage's.
"""

import contextlib
import pathlib
import socket
import subprocess

EXPORT = "vm1"


class NbdServer:
    """qemu-nbd over `image`; a context manager. Ready when constructed."""

    def __init__(self, image, socket_path):
        self.uri = f"nbd+unix:///{EXPORT}?socket={socket_path}"
        self._path = pathlib.Path(socket_path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            # Socket activation: it listens before the server runs, so nobody has to wait for it.
            listener.bind(str(socket_path))
            listener.listen(4)
            # Two writers on one file are the very point; hence no image lock.
            options = f"driver=raw,file.driver=file,file.locking=off,file.filename={image}"
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "sh", "-c",
                 f'exec 3<&{listener.fileno()}; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@"', "sh",
                 "qemu-nbd", "--persistent", "--shared=2", "--cache=none", "--discard=unmap",
                 f"--export-name={EXPORT}", "--image-opts", options],
                pass_fds=[listener.fileno()])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._path.unlink(missing_ok=True)


@contextlib.contextmanager
def two_nodes(image, run_dir):
    """The URIs of the same image at node a and at node b."""
    with NbdServer(image, run_dir / "a.nbd") as a, NbdServer(image, run_dir / "b.nbd") as b:
        yield a.uri, b.uri
