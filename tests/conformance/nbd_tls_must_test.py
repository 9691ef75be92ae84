#!/usr/bin/env python3
"""One test for each MUST of the NBD specification about TLS that a server has to keep, named after
its section; docs/nbd.md has them as a table. A real batond, a raw socket, and Python's own TLS."""
import pathlib
import re
import socket
import ssl
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import baton_test  # noqa: E402
from baton_node import NodeCase  # noqa: E402
from certificates import Authority  # noqa: E402
from nbd_must_test import (ABORT, ACK, EXPORT_NAME, GO, INFO, INVALID, LIST, LIST_META,  # noqa: E402
                           POLICY, SET_META, STARTTLS, STRUCTURED, TLS_REQD, Client, info, queries)

CONFIG = """[resource]
name = "vm1"

{tls}
[[volume]]
size = "1MiB"
{volume}
[node.solo]
nbd   = ["tcp:127.0.0.1:{port}"]
disks = ["vm1.img"]
"""
FORCED = '[tls]\ndir = "tls/solo"\nnbd = "required"\nreplication = "off"'
SELECTIVE = FORCED.replace("required", "optional")
EXPORT = b"vm1"


class TlsClient(Client):
    """Over TCP, and inside TLS once start_tls() was called."""

    def __init__(self, port, authority, flags=3):
        self.authority = authority
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.greeting = self.receive(18)
        self.hello(flags)

    def handshake(self, **how):
        self.socket = self.authority.context(**how).wrap_socket(
            self.socket, server_hostname="solo", suppress_ragged_eofs=False)
        self.socket.settimeout(30)

    def start_tls(self, **how):
        assert self.kinds(STARTTLS) == [ACK]
        self.handshake(**how)

    def is_open(self):
        """Options are answered."""
        return self.kinds(ABORT) == [ACK]


class TlsMust(NodeCase):
    def setUp(self):
        super().setUp()
        self.port = baton_test.free_port()
        self.configure("")
        self.authority = Authority(self.path("tls"), self.path("vm1.toml"))
        self.node.ctl("create-md", "vm1")

    def configure(self, tls, volume=""):
        self.write_config(CONFIG.format(tls=tls, port=self.port, volume=volume))

    def serve(self, tls, volume=""):
        if self.node.daemon is not None:
            self.node.stop()
        self.configure(tls, volume)
        self.node.start()

    def client(self, **how):
        client = TlsClient(self.port, self.authority, **how)
        self.addCleanup(lambda: client.socket.close())
        return client

    # --- NOTLS ---

    def test_tls_notls_mode__starttls_is_refused_and_tls_is_asked_of_nobody(self):
        self.serve("")
        client = self.client()
        self.assertEqual(client.kinds(STARTTLS), [POLICY])
        for number in (LIST, INFO, 99):
            self.assertNotIn(TLS_REQD, client.kinds(number))

    def test_tls_server_requirements__notls_where_fixed_newstyle_was_not_agreed(self):
        self.serve(SELECTIVE)
        client = self.client(flags=0)
        self.assertEqual(client.kinds(STARTTLS), [POLICY])
        self.serve(FORCED)
        self.assertTrue(self.client(flags=0).is_closed())

    # --- FORCEDTLS ---

    def test_tls_forced_mode__every_other_option_is_told_that_tls_is_required(self):
        self.serve(FORCED)
        client = self.client()
        for number, data in ((LIST, b""), (INFO, info(EXPORT)), (GO, info(EXPORT)), (STRUCTURED, b""),
                             (LIST_META, queries(export=EXPORT)),
                             (SET_META, queries(b"base:allocation", export=EXPORT)),
                             (4, b""), (99, b"data"), (LIST, bytes(100_000))):
            self.assertEqual(client.kinds(number, data), [TLS_REQD], number)
        client.start_tls()
        self.assertEqual(client.kinds(LIST)[-1], ACK)

    def test_tls_forced_mode__abort_is_acknowledged(self):
        self.serve(FORCED)
        self.assertEqual(self.client().kinds(ABORT), [ACK])

    def test_tls_forced_mode__export_name_ends_the_session(self):
        self.serve(FORCED)
        client = self.client()
        client.option(EXPORT_NAME, EXPORT)
        self.assertTrue(client.is_closed())

    def test_tls_forced_mode__everything_after_the_ack_is_inside_tls(self):
        self.serve(FORCED)
        client = self.client()
        client.start_tls()
        self.assertEqual(client.socket.version(), "TLSv1.3")
        client.go(EXPORT)
        client.request(1, 0, 4096, data=b"x" * 4096)
        self.assertEqual(client.simple(), (0, 1))
        client.request(0, 0, 4096)
        self.assertEqual(client.simple(), (0, 1))
        self.assertEqual(client.receive(4096), b"x" * 4096)

    def test_tls_forced_mode__a_handshake_that_fails_ends_the_session(self):
        self.serve(FORCED)
        client = self.client()
        self.assertEqual(client.kinds(STARTTLS), [ACK])
        client.option(LIST)  # as if nothing had happened
        client.socket.settimeout(30)
        while client.socket.recv(4096):
            pass  # an alert of TLS may come first
        self.node.daemon.wait_for_line("no TLS session: it does not speak TLS")

    def test_tls_forced_mode__a_certificate_that_does_not_match_ends_the_session(self):
        self.serve(FORCED)
        stranger = Authority(self.path("strange"), self.path("vm1.toml"))
        context = self.authority.context(name=None)
        context.load_cert_chain(stranger.of("carol") / "client-cert.pem",
                                stranger.of("carol") / "client-key.pem")
        for shown, why in ((self.authority.context(name=None), "it showed no certificate"),
                           (context, "its certificate is not accepted")):
            client = self.client()
            self.assertEqual(client.kinds(STARTTLS), [ACK])
            # With TLS 1.3 a client learns of it when it reads.
            with self.assertRaises((ssl.SSLError, ConnectionError)):
                client.socket = shown.wrap_socket(client.socket, server_hostname="solo",
                                                  suppress_ragged_eofs=False)
                client.option(LIST)
                client.answer()
            self.node.daemon.wait_for_line(f"no TLS session: {why}")

    def test_tls_forced_mode__a_second_starttls_is_invalid(self):
        for mode in (FORCED, SELECTIVE):
            self.serve(mode)
            client = self.client()
            client.start_tls()
            self.assertEqual(client.kinds(STARTTLS), [INVALID])
            self.assertTrue(client.is_open())

    # --- SELECTIVETLS ---

    def test_tls_selective_mode__who_does_not_ask_is_served_without(self):
        self.serve(SELECTIVE)
        client = self.client()
        for number in (LIST, INFO, STRUCTURED, LIST_META, 99):
            self.assertNotIn(TLS_REQD, client.kinds(number))
        client.go(EXPORT)

    def test_tls_selective_mode__an_export_for_tls_only_says_so_to_info_and_go(self):
        self.serve(SELECTIVE, 'allow-names = ["carol"]')
        client = self.client()
        for number in (INFO, GO):
            self.assertEqual(client.kinds(number, info(EXPORT)), [TLS_REQD])
        client.start_tls()
        client.go(EXPORT)

    def test_tls_selective_mode__an_export_for_tls_only_ends_export_name(self):
        self.serve(SELECTIVE, 'allow-names = ["carol"]')
        client = self.client()
        client.option(EXPORT_NAME, EXPORT)
        self.assertTrue(client.is_closed())

    def test_tls_selective_mode__no_other_option_is_told_that_tls_is_required(self):
        self.serve(SELECTIVE, 'allow-names = ["carol"]')
        client = self.client()
        self.assertEqual(client.kinds(STRUCTURED), [ACK])
        for number, data in ((LIST, b""), (99, b""), (LIST_META, queries(export=EXPORT)),
                             (SET_META, queries(b"base:allocation", export=EXPORT))):
            self.assertNotIn(TLS_REQD, client.kinds(number, data), number)

    # --- STARTTLS ---

    def test_tls_starttls__with_data_is_an_error(self):
        self.serve(FORCED)
        client = self.client()
        self.assertEqual(client.kinds(STARTTLS, b"x"), [INVALID])
        client.start_tls()
        self.assertTrue(client.is_open())

    def test_tls_starttls__what_was_negotiated_before_it_is_forgotten(self):
        """CVE-2021-3716 of nbdkit."""
        self.serve(SELECTIVE)
        client = self.client()
        self.assertEqual(client.kinds(STRUCTURED), [ACK])
        self.assertEqual(client.kinds(SET_META, queries(b"base:allocation", export=EXPORT))[-1], ACK)
        client.start_tls()
        client.go(EXPORT)
        client.request(0, 0, 512)
        self.assertEqual(client.simple(), (0, 1))
        self.assertEqual(client.receive(512), bytes(512))

    def test_tls_starttls__what_was_sent_behind_it_is_never_taken_for_encrypted(self):
        """As CVE-2021-33515 and its kin: options put behind STARTTLS by somebody in between."""
        self.serve(SELECTIVE)
        client = self.client()
        starttls = struct.pack(">QII", Client.IHAVEOPT, STARTTLS, 0)
        client.send(starttls + struct.pack(">QII", Client.IHAVEOPT, STRUCTURED, 0))
        self.assertTrue(client.is_closed())
        self.node.daemon.wait_for_line("went on after STARTTLS without waiting")

    # --- the end ---

    def test_tls_termination__disc_closes_the_tls_session(self):
        self.serve(FORCED)
        client = self.client()
        client.start_tls()
        client.go(EXPORT)
        client.request(2, 0, 0)
        self.assertEqual(client.socket.recv(1), b"", "TLS's farewell, not an end without one")

    def test_tls_versions__1_2_where_it_is_allowed_and_nothing_older(self):
        self.serve(FORCED)
        client = self.client()
        self.assertEqual(client.kinds(STARTTLS), [ACK])
        with self.assertRaises(ssl.SSLError):
            client.handshake(newest=ssl.TLSVersion.TLSv1_2)
        self.serve(FORCED + '\nmin-version = "1.2"')
        client = self.client()
        client.start_tls(newest=ssl.TLSVersion.TLSv1_2)
        self.assertEqual(client.socket.version(), "TLSv1.2")
        client.go(EXPORT)

    # --- of this file ---

    def test_every_must_of_the_page_is_a_test_here(self):
        page = (baton_test.SOURCE_DIR / "docs" / "nbd.md").read_text()
        named = set(re.findall(r"`(tls_\w+__\w+)`", page))
        here = {each.removeprefix("test_") for each in dir(self) if each.startswith("test_tls_")}
        self.assertEqual(named, here)


if __name__ == "__main__":
    baton_test.main()
