#!/usr/bin/python3
"""Goal: `batond --single` serves one client, which is connected to its standard input, and ends when that
one leaves. Method: real daemons, started as libnbd and inetd start servers."""
import pathlib
import socket
import struct
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import baton_test  # noqa: E402
import nbd  # noqa: E402
from baton_node import NodeCase, SINGLE_NODE_CONFIG as CONFIG  # noqa: E402

BLOCK = bytes(range(256)) * 16
IHAVEOPT = 0x49484156454F5054
OPTION = struct.Struct(">QII")  # IHAVEOPT, which one, bytes that follow


class Single(NodeCase):
    def command(self):
        return [baton_test.program("batond"), *map(str, self.node.options), "--single"]

    def spawn_on(self, end, **options):
        """batond, with this socket as its standard input and output."""
        options = {"stdin": end, "stdout": end, **options}
        return self.start(self.command(), name="batond", **options)

    def attach(self, family=socket.AF_UNIX):
        """(libnbd's handle, batond): as inetd joins the two."""
        ours, theirs = self.pair(family)
        daemon = self.spawn_on(theirs)
        theirs.close()
        client = nbd.NBD()
        client.connect_socket(ours.detach())
        return client, daemon

    def pair(self, family):
        if family == socket.AF_UNIX:
            return socket.socketpair()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            return socket.create_connection(listener.getsockname()), listener.accept()[0]

    def sees_it_end(self, daemon, status=0):
        self.assertEqual(daemon.wait(), status, daemon.log_tail())
        self.assertIn("stopping because the client of --single has left", daemon.log())
        self.assertIn("stopped cleanly", daemon.log())

    def resources(self, count, made=None):
        folder = self.path("conf")
        folder.mkdir()
        self.node.config = folder
        for number in range(1, count + 1):
            text = CONFIG.replace('"vm1"', f'"vm{number}"').replace("vm1.", f"../vm{number}.")
            (folder / f"vm{number}.toml").write_text(text)
        for number in made or range(1, count + 1):
            self.node.ctl("create-md", f"vm{number}")

    def test_libnbd_starts_it_and_what_was_written_is_read_back(self):
        self.node.ctl("create-md", "vm1")
        log = self.path("daemon.log")
        for number in range(2):
            client = nbd.NBD()
            # libnbd waits for ever for a daemon that does not end.
            client.connect_command(["sh", "-c", 'log=$1; shift; exec timeout 30 "$@" 2>>"$log"', "sh",
                                    str(log), *self.command()])
            self.assertEqual(client.get_size(), 64 << 20)
            if number == 0:
                client.pwrite(BLOCK, 8192)
            self.assertEqual(client.pread(len(BLOCK), 8192), BLOCK)
            client.shutdown()
            del client  # libnbd waits for the process
            self.assertEqual(log.read_text().count("the client of --single has left"), number + 1)
            self.assertEqual(log.read_text().count("stopped cleanly"), number + 1)

    def test_it_ends_with_0_when_the_client_disconnects_and_over_tcp_too(self):
        self.node.ctl("create-md", "vm1")
        for family in (socket.AF_UNIX, socket.AF_INET):
            client, daemon = self.attach(family)
            client.pwrite(BLOCK, 0, nbd.CMD_FLAG_FUA)
            self.assertEqual(client.pread(len(BLOCK), 0), BLOCK)
            self.assertTrue(daemon.is_running())
            client.shutdown()
            self.sees_it_end(daemon)

    def test_it_ends_when_the_client_vanishes(self):
        self.node.ctl("create-md", "vm1")
        client, daemon = self.attach()
        client.pwrite(BLOCK, 0)
        del client
        self.sees_it_end(daemon)
        # Before it has said a word.
        ours, theirs = socket.socketpair()
        daemon = self.spawn_on(theirs)
        theirs.close()
        ours.recv(1)
        ours.close()
        self.sees_it_end(daemon)

    def test_sigterm_ends_client_and_daemon(self):
        self.node.ctl("create-md", "vm1")
        client, daemon = self.attach()
        self.assertEqual(daemon.stop(), 0, daemon.log_tail())
        self.assertIn("stopped cleanly", daemon.log())
        with self.assertRaises(nbd.Error):
            client.pread(512, 0)

    def test_its_listeners_are_open_and_status_answers_meanwhile(self):
        self.node.ctl("create-md", "vm1")
        client, daemon = self.attach()
        client.pwrite(BLOCK, 0)
        other = nbd.NBD()
        other.connect_uri(self.uri("vm1"))
        self.assertEqual(other.pread(len(BLOCK), 0), BLOCK)
        self.assertEqual(len(self.node.status()["clients"]), 2)
        client.shutdown()
        self.sees_it_end(daemon)

    def test_down_by_hand_ends_it_too(self):
        self.node.ctl("create-md", "vm1")
        _client, daemon = self.attach()
        self.node.ctl("down", "vm1", "--force")
        self.sees_it_end(daemon)

    def test_all_resources_are_offered_before_the_client_is_heard(self):
        self.resources(12)
        ours, theirs = socket.socketpair()
        # It has asked for a list before there is a daemon.
        ours.sendall(struct.pack(">I", 3) + OPTION.pack(IHAVEOPT, 3, 0) + OPTION.pack(IHAVEOPT, 2, 0))
        daemon = self.spawn_on(theirs)
        theirs.close()
        heard = ours.makefile("rb").read()
        for number in range(1, 13):
            name = b"vm%d" % number
            self.assertIn(struct.pack(">I", len(name)) + name, heard)
        ours.close()
        self.sees_it_end(daemon)

    def test_a_resource_that_cannot_come_up_leaves_the_client_to_the_other_one(self):
        self.resources(2, made=[2])
        client, daemon = self.attach()
        self.assertIn("vm1: stays down: ", daemon.log())
        self.assertEqual(client.get_size(), 64 << 20, "it is the only one there, and the default")
        client.shutdown()
        self.sees_it_end(daemon)

    def test_when_no_resource_comes_up_the_client_is_closed(self):
        ours, theirs = socket.socketpair()
        daemon = self.spawn_on(theirs)
        theirs.close()
        self.assertEqual(ours.recv(1), b"")
        self.assertEqual(daemon.wait(), 1)
        self.assertIn("no resource could be brought up", daemon.log())
        ours.close()

    def test_what_is_no_client_is_refused(self):
        self.node.ctl("create-md", "vm1")
        before = self.files()
        with open(self.path("plain.log"), "w+b") as plain, socket.socket(socket.AF_UNIX) as listener, \
                socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
            listener.bind(str(self.path("l.sock")))
            listener.listen()
            for odd, why in ((plain, "is no socket"), (subprocess.DEVNULL, "is no socket"),
                             (listener, "is not connected"), (datagrams, "is no stream socket")):
                daemon = self.spawn_on(odd, stdout=subprocess.DEVNULL)
                self.assertEqual(daemon.wait(), 2)
                self.assertEqual(len(daemon.log().splitlines()), 1, daemon.log())
                self.assert_sentence(daemon.log(), "batond: --single serves the client that standard "
                                     "input is connected to, and that " + why, "inetd")
        self.assertEqual(self.files(), before)

    def test_the_log_has_a_place_of_its_own(self):
        self.node.ctl("create-md", "vm1")
        ours, theirs = socket.socketpair()
        daemon = self.spawn_on(theirs, stderr=theirs)
        theirs.close()
        self.assertEqual(daemon.wait(), 2)
        self.assert_sentence(ours.recv(1000).decode(), "batond: --single needs standard error for its "
                             "log", "2>FILE")
        ours.close()

    def test_a_node_without_resources_serves_nobody(self):
        self.resources(1)
        self.node.name = "other"
        ours, theirs = socket.socketpair()
        daemon = self.spawn_on(theirs)
        theirs.close()
        self.assertEqual(daemon.wait(), 10)
        self.assertIn("--single has nothing to serve", daemon.log())
        ours.close()


if __name__ == "__main__":
    baton_test.main()
