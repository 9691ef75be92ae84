#!/usr/bin/env python3
"""NBD clients over TLS: libnbd's and QEMU's, by certificate and by pre-shared key; who may have an
export; certificates that are replaced under clients."""
import pathlib
import shutil
import signal
import socket
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import baton_test  # noqa: E402
from baton_node import NodeCase  # noqa: E402
from baton_pair import DEBIAN_FIRST  # noqa: E402
from certificates import Authority, write_keys  # noqa: E402
from tap import Tap  # noqa: E402

CONFIG = """[resource]
name = "vm1"
{resource}
[tls]
dir = "tls/solo"
psk-file = "psk/keys.psk"
replication = "off"
{tls}

[[volume]]
size = "64MiB"

[[volume]]
size = "1MiB"
{volume}

[node.solo]
nbd   = ["unix:vm1.sock", "tcp:127.0.0.1:{port}"]
disks = ["vm1.img", "vm1-1.img"]
"""
# 33 MiB in one request, unaligned small ones, and both again.
TOUR = """
data = bytes(range(256)) * (33 << 12)
h.pwrite(data, 512)
assert h.pread(len(data), 512) == data
before = h.pread(5, 10_000_000)
h.pwrite(b"odd", 10_000_001)
assert h.pread(5, 10_000_000) == before[:1] + b"odd" + before[4:]
h.flush()
assert h.get_tls_negotiated()
"""


@baton_test.requires_programs("nbdsh", "nbdinfo", "qemu-io")
class NbdTls(NodeCase):
    def setUp(self):
        super().setUp()
        self.port = baton_test.free_port()
        self.configure()
        self.authority = Authority(self.path("tls"), self.path("vm1.toml"))
        write_keys(self.path("psk") / "keys.psk", "alice", "bob")
        self.node.ctl("create-md", "vm1")

    def configure(self, resource="", tls="", volume=""):
        self.write_config(CONFIG.format(port=self.port, resource=resource, tls=tls, volume=volume))

    def serve(self, **what):
        self.configure(**what)
        self.node.start()

    # --- clients ---

    def by_certificate(self, who="carol", export="vm1", address="127.0.0.1"):
        return f"nbds://{address}:{self.port}/{export}?tls-certificates={self.authority.of(who)}"

    def by_key(self, who="alice", export="vm1", keys="psk/keys.psk"):
        return f"nbds://{who}@127.0.0.1:{self.port}/{export}?tls-psk-file={self.path(keys)}"

    def nbdsh(self, uri, script):
        # A URI from elsewhere may not name files here unless it is allowed to.
        connect = f"h.set_uri_allow_local_file(True); h.connect_uri({uri!r})"
        baton_test.run(["nbdsh", "-c", connect, "-c", script, "-c", "h.shutdown()"],
                       env=DEBIAN_FIRST)

    def refused(self, uri):
        """What nbdinfo says, and what libnbd has heard from the server."""
        done = baton_test.run(["nbdinfo", "--size", uri], check=False,
                              env={**DEBIAN_FIRST, "LIBNBD_DEBUG": "1"})
        self.assertNotEqual(done.returncode, 0, done.stdout)
        return done.stderr

    def qemu_io(self, credentials, *commands):
        words = [word for command in commands for word in ("-c", command)]
        image = (f"driver=nbd,server.type=inet,server.host=127.0.0.1,server.port={self.port},"
                 "export=vm1,tls-creds=t")
        return baton_test.run(["qemu-io", "--object", credentials, "--image-opts", image, *words])

    # --- by certificate and by key ---

    def test_libnbd_by_certificate_and_by_key(self):
        self.serve()
        self.nbdsh(self.by_certificate(), TOUR)
        self.nbdsh(self.by_key(), TOUR)
        self.nbdsh(self.by_certificate(export="vm1/1"), "assert h.get_size() == 1 << 20")
        self.node.daemon.wait_for_line(r"127\.0\.0\.1:\d+, carol ended .*: the client disconnected")
        self.node.daemon.wait_for_line(r"127\.0\.0\.1:\d+, alice ended .*: the client disconnected")

    def test_qemu_by_certificate_and_by_key(self):
        self.serve()
        certificate = f"tls-creds-x509,id=t,dir={self.authority.of('carol')},endpoint=client"
        key = f"tls-creds-psk,id=t,dir={self.path('psk')},username=bob,endpoint=client"
        for number, credentials in enumerate((certificate, key), 1):
            self.qemu_io(credentials, f"write -P {number} 0 8M", "flush")
            self.assertNotIn("failed", self.qemu_io(credentials, f"read -P {number} 0 8M").stdout)

    def test_clients_check_the_servers_name(self):
        self.serve()
        self.assertIn("certificate verification",
                      self.refused(self.by_certificate(address="127.1")))

    def test_what_goes_over_the_network_cannot_be_read(self):
        self.serve()
        secret = b"NOBODY READS THIS"
        tap = Tap(self.port)
        self.addCleanup(tap.close)
        uri = self.by_certificate().replace(str(self.port), str(tap.port))
        self.nbdsh(uri, f"h.pwrite({secret!r} * 1000, 0); assert h.pread(17, 0) == {secret!r}")
        self.assertGreater(tap.bytes_carried(), 17_000)
        self.assertTrue(tap.heard(b"IHAVEOPT"))
        self.assertFalse(tap.heard(secret))

    # --- who is not let in ---

    def test_over_tcp_only_with_tls_and_at_the_unix_socket_with_or_without(self):
        self.serve()
        self.assertIn("TLS", self.refused(f"nbd://127.0.0.1:{self.port}/vm1"))
        self.nbdsh(self.uri("vm1"), "assert not h.get_tls_negotiated()")
        unix = f"nbds+unix://solo/vm1?socket={self.path('vm1.sock')}"
        self.nbdsh(f"{unix}&tls-certificates={self.authority.of('carol')}",
                   "assert h.get_tls_negotiated()")

    def test_strangers_are_turned_away_with_a_reason_in_the_log(self):
        self.serve()
        strange = Authority(self.path("strange"), self.path("vm1.toml"))
        shutil.copy(self.authority.folder / "ca-cert.pem", strange.of("carol") / "ca-cert.pem")
        # It is told which authority is asked for, and shows nothing of another one.
        write_keys(self.path("psk2") / "keys.psk", "alice", "mallory")
        strangers = {
            f"nbds://127.0.0.1:{self.port}/vm1?tls-certificates={strange.of('carol')}":
                "it showed no certificate",
            self.by_key("alice", keys="psk2/keys.psk"): "its pre-shared key is another one",
            self.by_key("mallory", keys="psk2/keys.psk"): r"\(export \"\"\): no TLS session",
        }
        for uri, why in strangers.items():
            self.refused(uri)
            self.node.daemon.wait_for_line(why)

    def test_names_and_networks_say_who_may_have_what(self):
        self.serve(resource='allow-names = ["carol", "alice"]\nallow-networks = ["127.0.0.1"]',
                   volume='allow-networks = ["10.0.0.0/8"]')
        for uri in (self.by_certificate("carol"), self.by_key("alice")):
            self.nbdsh(uri, "h.pread(512, 0)")
        for uri in (self.by_certificate("dave"), self.by_key("bob")):
            self.assertIn("its name is none of allow-names", self.refused(uri))
        self.assertIn("its address is in none of allow-networks",
                      self.refused(self.by_certificate("carol", "vm1/1")))
        listed = baton_test.run(["nbdinfo", "--list", "--json", self.by_certificate("carol", "")])
        self.assertIn('"vm1"', listed.stdout)
        self.assertNotIn('"vm1/1"', listed.stdout)
        # The mode of the socket's file says who may come in there.
        self.nbdsh(self.uri("vm1/1"), "h.pread(512, 0)")

    # --- new certificates ---

    def shown(self):
        """A connection that has seen the server's certificate, and its serial number."""
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        raw.recv(18, socket.MSG_WAITALL)
        raw.sendall(struct.pack(">I", 3) + struct.pack(">8sII", b"IHAVEOPT", 5, 0))
        raw.recv(20, socket.MSG_WAITALL)
        connection = self.authority.context().wrap_socket(raw, server_hostname="solo")
        self.addCleanup(connection.close)
        return connection, connection.getpeercert()["serialNumber"]

    def is_served(self, connection):
        connection.sendall(struct.pack(">8sII", b"IHAVEOPT", 3, 0))
        return connection.recv(8)[:8] == struct.pack(">Q", 0x3E889045565A9)

    def test_new_certificates_come_without_a_restart(self):
        self.serve()
        old_connection, old = self.shown()
        self.authority.renew()
        self.assertEqual(self.shown()[1], old, "until batond is told")
        self.node.daemon.send_signal(signal.SIGHUP)
        self.node.daemon.wait_for_line("certificates and keys read again")
        self.assertNotEqual(self.shown()[1], old)
        self.assertTrue(self.is_served(old_connection))

    def test_broken_files_leave_what_is_in_use(self):
        self.serve()
        _, old = self.shown()
        key = self.authority.of("solo") / "server-key.pem"
        for broken in (b"", b"no key"):
            key.write_bytes(broken)
            self.node.daemon.send_signal(signal.SIGHUP)
            self.node.daemon.wait_for_line(r"goes on with the certificates .*server-key\.pem")
            self.assertEqual(self.shown()[1], old)

    def test_a_start_with_broken_files_names_them(self):
        (self.authority.of("solo") / "server-key.pem").unlink()
        self.assertIn("tls/solo/server-key.pem: cannot be read: No such file",
                      self.node.fails(10))

    def test_a_client_whose_key_was_taken_away_is_out_at_its_next_connection(self):
        self.serve()
        self.nbdsh(self.by_key("bob"), "h.pread(512, 0)")
        shutil.copy(self.path("psk") / "keys.psk", self.path("both.psk"))
        keys = self.path("psk/keys.psk")
        keys.write_text(keys.read_text().splitlines(keepends=True)[0])
        self.node.daemon.send_signal(signal.SIGHUP)
        self.node.daemon.wait_for_line("certificates and keys read again")
        self.refused(self.by_key("bob", keys="both.psk"))
        self.nbdsh(self.by_key("alice"), "h.pread(512, 0)")


if __name__ == "__main__":
    baton_test.main()
