#!/usr/bin/python3
"""Goal: two nodes that are not meant for each other, or not configured alike, say so in one sentence
with what to do, and change nothing on disk.
Method: two real daemons with configurations that differ."""
import hashlib
import os
import pathlib
import socket
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import baton_test  # noqa: E402
from baton_pair import MIB, PairCase  # noqa: E402


class Strangers(PairCase):
    """Both daemons run, the link is refused, both say why, and try again."""

    def images(self):
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()
                for path in self.folder.glob("*.img")}

    def differ(self, **changes):
        """beta's configuration says something else than alpha's."""
        self.beta.config = self.write_config("beta.toml", **changes)

    def assert_refused(self, *parts, nodes=None):
        """One sentence in the log and in `status`, again and again the same, and no data moved."""
        before = self.images()
        generations = [self.lineage_in_log(node) for node in self.nodes]
        for node in nodes or self.nodes:
            def told(_, peer):
                return all(part in peer.get("last-error", "") for part in parts)
            status = self.wait_status(node, told, f"a reason with {parts}")
            (connection,) = status["connections"]
            self.assertEqual(connection["connection-state"], "Connecting")
            reason = connection["last-error"]
            self.assertNotIn("\n", reason)
            self.assertIn(reason, node.ctl("status").stdout)
            self.assertIn(reason, node.daemon.log())
            text = node.refuses("wait-connect", "vm1", "--timeout", "1")
            self.assertIn("gave up after 1 s", text)
        for node in self.nodes:
            self.assertEqual(node.status()["role"], "Secondary")
            self.assertLess(len(node.daemon.log().splitlines()), 60, "the log is not flooded")
        self.assertEqual([self.lineage_in_log(node) for node in self.nodes], generations)
        self.stop_both()
        self.assertEqual(self.images(), before)
        for node in self.nodes:
            self.assertEqual(self.dump(node)["lineage"], [])

    def lineage_in_log(self, node):
        return node.daemon.log().count("SyncTarget")

    def begin_apart(self):
        self.create_md()
        self.start_both()

    def test_different_secrets(self):
        self.differ(options='secret = "another"')
        self.begin_apart()
        self.assert_refused("secret")

    def test_a_secret_on_one_side_only(self):
        self.differ(options="")
        self.begin_apart()
        self.assert_refused("secret")

    def test_an_image_smaller_than_the_peers(self):
        self.differ(size="32MiB")
        self.begin_apart()
        self.assert_refused(str(64 * MIB), str(32 * MIB), "alpha", "beta", "create-md")

    def test_another_number_of_volumes(self):
        place = self.write_config("beta.toml")
        text = place.read_text().replace("[node.alpha]", '[[volume]]\nsize = "1MiB"\n\n[node.alpha]')
        for name in ("alpha", "beta"):
            text = text.replace(f'["{name}.img"]', f'["{name}.img", "{name}-1.img"]')
        place.write_text(text)
        self.beta.config = place
        for node in self.nodes:
            node.ctl("create-md", "vm1")
        self.start_both()
        for node in self.nodes:
            self.wait_status(node, lambda _, peer: "volumes" in peer.get("last-error", ""), "a reason")
        self.stop_both()

    def test_another_resource_at_the_address(self):
        # beta's file names another resource at the address where alpha expects vm1.
        self.differ(resource="vm2")
        self.alpha.ctl("create-md", "vm1")
        self.beta.ctl("create-md", "vm2")
        self.start_both()
        status = self.wait_status(self.alpha, lambda _, peer: "vm2" in peer.get("last-error", ""),
                                  "the other's name")
        reason = status["connections"][0]["last-error"]
        self.assertIn("addresses", reason)
        baton_test.wait_for(
            lambda: "vm1" in self.beta.status("vm2")["connections"][0].get("last-error", ""),
            "beta's reason", watch=[self.beta.daemon])
        self.stop_both()

    def test_other_node_names(self):
        self.differ(first="alfa")
        self.begin_apart()
        self.assert_refused("alfa", "names")

    def test_different_protocols_are_named(self):
        self.differ(protocol="A")
        self.begin_apart()
        self.assert_refused("protocol")

    def test_a_stranger_on_the_replication_port_does_no_harm(self):
        self.begin()
        before = self.alpha.status()["connections"]
        handshakes = [len(self.verdicts(node)) for node in self.nodes]
        for words in (b"GET / HTTP/1.0\r\n\r\n", b"\0" * 4096, os.urandom(4096), b""):
            with socket.create_connection(("127.0.0.1", self.ports[0]), timeout=10) as link:
                link.sendall(words)
                link.shutdown(socket.SHUT_WR)
                try:
                    while link.recv(4096):
                        pass  # our greeting, then the end
                except ConnectionResetError:
                    pass
        self.assertEqual(self.alpha.status()["connections"], before)
        self.assertEqual([len(self.verdicts(node)) for node in self.nodes], handshakes,
                         "the session went on")
        self.qemu_io(self.alpha, "write -P 1 0 1M")
        self.stop_and_compare()

    def test_a_silent_stranger_does_not_keep_the_peer_out(self):
        self.create_md()
        self.alpha.start()
        strangers = []
        for _ in range(20):
            link = socket.create_connection(("127.0.0.1", self.ports[0]), timeout=10)
            self.addCleanup(link.close)
            strangers.append(link)
        self.beta.start()
        self.connect_both()
        self.stop_both()


class Start(PairCase):
    """batond does not start, names the reason, exits as design §8 says, and leaves the disks alone."""

    def assert_ends(self, node, status, *parts):
        before = self.files()
        log = node.fails(status)
        sentences = [line for line in log.splitlines() if " error: " in line and parts[0] in line]
        self.assertEqual(len(sentences), 1, log)
        for part in parts:
            self.assertIn(part, sentences[0])
        self.assertEqual(self.files(), before)

    def test_a_busy_replication_port(self):
        self.create_md()
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", self.ports[0]))
            other.listen()
            self.assert_ends(self.alpha, 1, f"127.0.0.1:{self.ports[0]}", "already in use",
                             "address of node alpha", "vm1.toml")

    def test_missing_metadata(self):
        self.alpha.ctl("create-md", "vm1")
        self.path("alpha.img.baton").unlink()
        self.assert_ends(self.alpha, 1, "has no metadata", "batonctl create-md vm1")

    def test_a_missing_image(self):
        self.alpha.ctl("create-md", "vm1")
        self.path("alpha.img").unlink()
        self.assert_ends(self.alpha, 1, "alpha.img", "does not exist")
        self.assertFalse(self.path("alpha.img").exists())

    def test_the_wrong_size_in_the_configuration(self):
        self.create_md()
        self.write_config(size="32MiB")
        self.assert_ends(self.alpha, 1, "64 MiB", "32MiB", "size")

    def test_an_image_that_was_cut_off(self):
        self.write_config()
        place = self.path("vm1.toml")
        self.create_md()
        place.write_text(place.read_text().replace('size = "64MiB"', ""))
        os.truncate(self.image(self.alpha), 32 * MIB)
        self.assert_ends(self.alpha, 1, "alpha.img", "cut off")

    def test_the_metadata_of_the_other_node(self):
        self.create_md()
        self.path("alpha.img.baton").write_bytes(self.path("beta.img.baton").read_bytes())
        self.assert_ends(self.alpha, 1, "belongs to volume 0 of vm1 on node beta",
                         "volume 0 of vm1 on alpha", "meta")

    def test_an_address_that_is_not_this_hosts(self):
        self.create_md()
        place = self.path("vm1.toml")
        place.write_text(place.read_text().replace(f"127.0.0.1:{self.ports[0]}", "192.0.2.1:7789"))
        self.assert_ends(self.alpha, 1, "192.0.2.1:7789", "address of node alpha")

    def test_without_a_secret_only_loopback(self):
        self.write_config(options="")
        place = self.path("vm1.toml")
        place.write_text(place.read_text().replace(f"127.0.0.1:{self.ports[0]}", "192.0.2.1:7789"))
        log = self.alpha.fails(10)
        self.assertIn("vm1.toml:", log)
        self.assertIn("secret", log)
        self.assertEqual(len(log.splitlines()), 1, log)


if __name__ == "__main__":
    baton_test.main()
