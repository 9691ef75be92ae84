#!/usr/bin/python3
"""Goal: whatever arrives on the control socket, the daemon and its other clients go on (rule 10).
Method: a real daemon, and bytes written by hand."""
import json
import pathlib
import socket
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import baton_test  # noqa: E402
from baton_node import NodeCase  # noqa: E402


class ControlSocket(NodeCase):
    """What arrives there may be anything (design, rule 10)."""

    def setUp(self):
        super().setUp()
        self.node.ctl("create-md", "vm1")
        self.node.start()

    def connect(self):
        link = socket.socket(socket.AF_UNIX)
        link.settimeout(10)
        link.connect(str(self.node.run_dir / "control.sock"))
        self.addCleanup(link.close)
        return link

    def test_it_is_for_the_daemons_user_alone(self):
        mode = (self.node.run_dir / "control.sock").stat().st_mode & 0o777
        self.assertEqual(mode, 0o600)

    def test_nonsense_ends_the_connection_and_nothing_else(self):
        patient = self.connect()
        for nonsense in (b"hello\n", b"{}\n", b"[" * 20000, b"\x00" * 20000, b"\xff\xfe\n",
                         b'{"id":1,"verb":"status","options":{"x":1}}\n'):
            with self.subTest(nonsense[:20]):
                link = self.connect()
                link.sendall(nonsense)
                self.assertEqual(link.recv(1), b"", "the connection is closed")
        patient.sendall(b'{"id":9,"verb":"status"}\n')
        self.assertIn(b'"id":9,"result"', patient.recv(65536))
        self.node.stop()

    def test_requests_of_one_client_run_side_by_side(self):
        link = self.connect()
        link.sendall(b'{"id":1,"verb":"events"}\n{"id":2,"verb":"secondary","resource":"vm1"}\n'
                     b'{"id":3,"verb":"nonsense"}\n')
        stream = link.makefile("rb")
        replies = {1: [], 2: [], 3: []}
        while not (replies[2] and replies[3] and
                   any("change" in json.dumps(each) for each in replies[1])):
            reply = json.loads(stream.readline())
            replies[reply["id"]].append(reply)
        self.assertEqual(replies[2][0]["result"], None)
        self.assertIn("not available", replies[3][0]["error"]["message"])
        self.node.stop()

    def test_a_client_that_goes_away_costs_nothing(self):
        for _ in range(100):
            link = self.connect()
            link.sendall(b'{"id":1,"verb":"events"}\n{"id":2,"verb":"down","resource":"vm1"}\n'
                         b'{"id":3,"verb":"up","resource":"vm1"}\n')
            link.close()
        self.wait_for(lambda: self.node.ctl("status", check=False).returncode == 0, "an answer")
        self.node.ctl("events", "--json", "vm9", check=1)
        self.node.stop()

    def test_clients_beyond_the_limit_are_turned_away_until_others_leave(self):
        links = [self.connect() for _ in range(64)]
        for link in links:
            link.sendall(b'{"id":1,"verb":"status"}\n')
            self.assertIn(b"result", link.recv(65536))
        self.assertIn("64 clients already", self.node.refuses("status"))
        links.pop().close()
        self.wait_for(self.is_served, "a place for one more client")
        self.node.stop()

    def is_served(self):
        link = self.connect()
        try:
            link.sendall(b'{"id":1,"verb":"status"}\n')
            return b"result" in link.recv(65536)
        except OSError:
            return False


if __name__ == "__main__":
    baton_test.main()
