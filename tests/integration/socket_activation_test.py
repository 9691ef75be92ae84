#!/usr/bin/env python3
"""Sockets that a service manager listens at: clients that come before the daemon wait for it, and other
people's tools can start batond by themselves."""
import os
import pathlib
import socket
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import baton_test  # noqa: E402
from baton_node import NodeCase  # noqa: E402
from baton_pair import DEBIAN_FIRST  # noqa: E402

TWO_RESOURCES = """[resource]
name = "{name}"

[[volume]]
size = "64MiB"

[node.solo]
disks = ["{name}.img"]
"""

READ_TWICE = """
h.connect_uri("{uri}")
print(len(h.pread(4096, 0)), h.get_size(), flush=True)
h.shutdown()
"""

# As a service manager starts it: the variables, and the sockets from 3 on.
START = 'exec {descriptors}; LISTEN_PID=$$ LISTEN_FDS={count} LISTEN_FDNAMES="{names}" exec "$@"'


class SocketActivation(NodeCase):
    def listen(self, path):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()
        self.addCleanup(listener.close)
        return listener

    def start_with(self, *listeners, names="", config=None, number=0):
        """batond, given these."""
        options = list(self.node.options)
        if config:
            options[1] = config
        descriptors = " ".join(f"{3 + at}<&{each.fileno()}" for at, each in enumerate(listeners))
        script = START.format(descriptors=descriptors, count=len(listeners), names=names)
        # Above those that it is to have, or one would replace another.
        argv = ["bash", "-c", script, "bash", baton_test.program("batond"), *map(str, options)]
        self.node.daemon = self.start(argv, name=f"batond-{number}",
                                      pass_fds=[each.fileno() for each in listeners])
        return self.node.daemon

    def high(self, listener):
        """The same file under a number out of the way."""
        copy = os.dup2(listener.fileno(), 50 + listener.fileno(), inheritable=True)
        moved = os.fdopen(copy, "rb", buffering=0)
        self.addCleanup(moved.close)
        return moved

    def create(self):
        self.node.ctl("create-md", "vm1")
        self.node.start()
        self.node.ctl("primary", "vm1", "--force")
        self.node.stop()

    def client(self, number=0):
        return self.start(["nbdsh", "-c", READ_TWICE.format(uri=self.uri("vm1"))],
                          name=f"client-{number}", env=DEBIAN_FIRST)

    @baton_test.requires_programs("nbdsh")
    def test_clients_wait_for_the_daemon_before_it_starts_and_while_it_is_restarted(self):
        self.create()
        listener = self.high(self.listen(self.path("vm1.sock")))
        for number in range(2):
            waiting = self.client(number)
            self.start_with(listener, number=number).wait_for_line(" ready: ")
            self.assertEqual(waiting.wait(20), 0, waiting.log_tail())
            self.assertIn(f"4096 {64 << 20}", waiting.log())
            self.node.stop()
            self.assertTrue(self.path("vm1.sock").exists(), "the file is the service manager's")

    @baton_test.requires_programs("nbdinfo")
    def test_a_tool_starts_it(self):
        self.create()
        options = [str(option) for option in self.node.options]
        shown = baton_test.run(["nbdinfo", "--size", "--", "[", baton_test.program("batond"), *options,
                                "]"])
        self.assertEqual(shown.stdout.strip(), str(64 << 20))

    def test_what_is_no_listening_socket_is_refused(self):
        self.node.ctl("create-md", "vm1")
        connected, _ = socket.socketpair()
        self.addCleanup(connected.close)
        with open(self.path("plain"), "w+b") as plain:
            for number, odd in enumerate((plain, connected)):
                daemon = self.start_with(self.high(odd), number=number)
                self.assertEqual(daemon.wait(), 1)
                self.assert_sentence(daemon.log(), "passed descriptor 3", "cannot serve NBD")

    def test_with_two_resources_the_socket_is_named(self):
        folder = self.path("configs")
        folder.mkdir()
        for name in ("one", "two"):
            (folder / f"{name}.toml").write_text(TWO_RESOURCES.format(name=name))
            baton_test.run([baton_test.program("batonctl"), "--config", folder, "--node", "solo",
                            "create-md", name])
        listener = self.high(self.listen(self.path("any.sock")))
        daemon = self.start_with(listener, config=folder)
        self.assertEqual(daemon.wait(), 10)
        self.assert_sentence(daemon.log(), "unix:" + str(self.path("any.sock")), "FileDescriptorName")
        daemon = self.start_with(listener, names="two", config=folder, number=1)
        daemon.wait_for_line(" ready: ")
        listed = baton_test.run(["qemu-nbd", "--list", "--socket", self.path("any.sock")]).stdout
        self.assertIn("'two'", listed)
        self.assertNotIn("'one'", listed)

    def test_sockets_of_another_process_are_left_alone(self):
        self.node.ctl("create-md", "vm1")
        listener = self.high(self.listen(self.path("other.sock")))
        environment = {**os.environ, "LISTEN_PID": "1", "LISTEN_FDS": "1"}
        self.node.spawn(env=environment, pass_fds=[listener.fileno()]).wait_for_line(" ready: ")
        self.assertTrue(self.path("vm1.sock").exists(), "it listens by itself")


if __name__ == "__main__":
    baton_test.main()
