"""A running nbd_test_server for each case: export "disk" (64 MiB of memory) and "vm1/1" (1 MiB)."""
import pathlib
import socket
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import baton_test  # noqa: E402

SIZE = 64 << 20


class ServerCase(baton_test.TestCase):
    def setUp(self):
        super().setUp()
        self.socket_path = self.folder / "s.sock"
        self.server = self.start([baton_test.program("tests/nbd_test_server"), "memory", SIZE,
                                  f"unix:{self.socket_path}", "tcp:127.0.0.1:0"])
        self.server.wait_for_line("^ready")
        self.port = int(self.server.wait_for_line(r"tcp:127.0.0.1:(\d+)").group(1))
        self.addCleanup(self.sees_everybody_off)

    def sees_everybody_off(self):
        """Whatever the clients did, the server lives and stops in order."""
        self.assertEqual(self.server.stop(), 0, self.server.log_tail())

    def uri(self, export="disk"):
        return f"nbd+unix:///{export}?socket={self.socket_path}"

    def tcp_uri(self, export="disk"):
        return f"nbd://127.0.0.1:{self.port}/{export}"


class RawClient:
    """Says what no library would."""

    IHAVEOPT = 0x49484156454F5054

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(str(path))
        self.greeting = self.receive(18)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def receive(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                return data
            data += more
        return data

    def option(self, number, data=b"", length=None):
        length = len(data) if length is None else length
        self.send(struct.pack(">QII", self.IHAVEOPT, number, length) + data)

    def answer(self):
        _, _, kind, length = struct.unpack(">QIII", self.receive(20))
        return kind, self.receive(length)

    def go(self, export=b"disk"):
        self.send(struct.pack(">I", 3))
        self.option(7, struct.pack(">I", len(export)) + export + struct.pack(">H", 0))
        while self.answer()[0] != 1:
            pass

    def request(self, command, offset, length, flags=0, cookie=1, data=b""):
        self.send(struct.pack(">IHHQQI", 0x25609513, flags, command, cookie, offset, length) + data)

    def reply(self):
        """The error of a simple reply."""
        return struct.unpack(">IIQ", self.receive(16))[1]

    def is_closed(self):
        try:
            return self.receive(1) == b""
        except ConnectionResetError:
            return True
