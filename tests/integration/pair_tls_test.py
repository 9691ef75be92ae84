#!/usr/bin/env python3
"""The replication link inside TLS: by certificates that bind the nodes' names, and by the secret.
Who is no peer is refused with a reason on both nodes; what goes over the network cannot be read."""
import pathlib
import shutil
import signal
import socket
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import baton_test  # noqa: E402
from baton_pair import MIB, PairCase  # noqa: E402
from certificates import Authority  # noqa: E402
from tap import Tap  # noqa: E402

PSK = '[tls]\nnbd = "off"\nreplication = "psk"'
WORDS = b"NOBODY READS THIS "


class PairTls(PairCase):
    size = 16 * MIB

    def setUp(self):
        super().setUp()
        self.authority = Authority(self.path("tls"), self.path("vm1.toml"))

    def by_certificate(self, node, folder=None):
        return f'[tls]\ndir = "{folder or self.authority.of(node.name)}"\nnbd = "off"'

    def set_up(self, node, options, tls):
        """Writes the node's own configuration."""
        node.config = self.write_config(f"{node.name}.toml", options=f"{options}\n{tls}")

    def set_up_certificates(self):
        for node in self.nodes:
            self.set_up(node, "", self.by_certificate(node))

    def write_and_compare(self):
        for node in self.nodes:
            self.assertIs(self.connection(node)["tls"], True)
        baton_test.run(["qemu-io", "-f", "raw", "-c", "write -P 77 0 12M", "-c", "flush",
                        self.uri(self.alpha)])
        self.stop_and_compare()

    def errors(self):
        """What `status` says of the connection on both nodes, when both have something to say."""
        def look():
            said = [self.connection(node).get("last-error") for node in self.nodes]
            return said if all(said) else None
        return baton_test.wait_for(look, "both nodes to say why they are not connected", 20)

    # --- it works ---

    def test_by_certificates_and_without_a_secret(self):
        self.set_up_certificates()
        self.begin()
        self.write_and_compare()

    def test_by_the_secret(self):
        for node in self.nodes:
            self.set_up(node, self.options, PSK)
        self.begin()
        self.write_and_compare()

    def test_a_secret_counts_beside_certificates(self):
        for node, secret in zip(self.nodes, ("one", "another")):
            self.set_up(node, f'secret = "{secret}"', self.by_certificate(node))
        self.create_md()
        self.start_both()
        self.assertTrue(any("secret" in error for error in self.errors()), self.errors())

    def carried(self, options, tls_of):
        """Writes WORDS at alpha; the tap between the nodes."""
        taps = [Tap(self.ports[1]), Tap(self.ports[0])]
        for node, tap, place in zip(self.nodes, taps, (1, 0)):
            self.addCleanup(tap.close)
            ports = list(self.ports)
            ports[place] = tap.port
            node.config = self.write_config(f"{node.name}.toml", ports=ports,
                                            options=f"{options}\n{tls_of(node)}")
        self.begin()
        pattern = self.path("words")
        pattern.write_bytes(WORDS * 100)
        baton_test.run(["qemu-io", "-f", "raw", "-c", f"write -s {pattern} 0 1M",
                        self.uri(self.alpha)])
        self.stop_and_compare()
        self.assertGreater(sum(tap.bytes_carried() for tap in taps), MIB)
        return any(tap.heard(WORDS) for tap in taps)

    def test_what_goes_between_the_nodes_cannot_be_read(self):
        self.assertFalse(self.carried("", self.by_certificate))

    def test_nor_with_a_secret(self):
        self.assertFalse(self.carried(self.options, lambda node: PSK))

    def test_and_without_tls_it_can(self):
        """What the two above would not notice."""
        self.assertTrue(self.carried(self.options, lambda node: ""))

    def test_status_says_whether_it_is_there(self):
        self.begin()
        self.assertIs(self.connection(self.alpha)["tls"], False)
        self.assertNotIn("TLS", self.alpha.ctl("status", "vm1").stdout)

    # --- who is no peer ---

    def refused(self, *sentences):
        """The nodes do not connect, each of the sentences is an error of one of them, and nothing is
        served from where nothing was agreed."""
        self.create_md()
        self.start_both()

        def look():
            said = [self.connection(node).get("last-error") or "" for node in self.nodes]
            said += [node.daemon.log() for node in self.nodes]
            return said if all(any(each in one for one in said) for each in sentences) else None
        baton_test.wait_for(look, f"the nodes to say {sentences}", 20,
                            watch=[node.daemon for node in self.nodes])
        for node in self.nodes:
            self.assertNotEqual(self.connection(node)["connection-state"], "Connected")

    def test_another_secret(self):
        for node, secret in zip(self.nodes, ("one", "another")):
            self.set_up(node, f'secret = "{secret}"', PSK)
        self.refused("its pre-shared key is another one")

    def test_one_node_without_tls(self):
        self.set_up(self.alpha, self.options, PSK)
        self.set_up(self.beta, self.options, "")
        self.refused("it does not speak TLS")

    def test_a_certificate_with_another_name(self):
        other = self.write_config("other.toml", second="gamma")
        Authority(self.path("tls"), other, clients=())
        self.set_up(self.alpha, "", self.by_certificate(self.alpha))
        self.set_up(self.beta, "", self.by_certificate(self.beta, self.authority.of("gamma")))
        self.refused("its certificate is for gamma, and no other node of vm1 has that name")

    def test_a_certificate_of_another_authority(self):
        strange = Authority(self.path("strange"), self.path("vm1.toml"), clients=())
        shutil.copy(self.authority.folder / "ca-cert.pem", strange.of("beta") / "ca-cert.pem")
        self.set_up(self.alpha, "", self.by_certificate(self.alpha))
        self.set_up(self.beta, "", self.by_certificate(self.beta, strange.of("beta")))
        self.refused("its certificate is not accepted", "it does not accept us")

    def test_a_clients_certificate_with_a_nodes_name(self):
        # Somebody was given a client's certificate for the name "beta".
        elsewhere = self.write_config("elsewhere.toml", second="gamma")
        Authority(self.path("tls2"), elsewhere, clients=("beta",))
        client, node = self.path("tls2") / "beta", self.path("posing")
        node.mkdir()
        shutil.copy(client / "ca-cert.pem", node / "ca-cert.pem")
        for part in ("cert", "key"):
            shutil.copy(client / f"client-{part}.pem", node / f"server-{part}.pem")
        self.set_up(self.alpha, "", self.by_certificate(self.alpha, self.path("tls2") / "alpha"))
        self.set_up(self.beta, "", self.by_certificate(self.beta, node))
        self.refused("its certificate is not accepted: unsuitable certificate purpose")

    def test_strangers_that_say_nothing_do_not_keep_the_peer_out(self):
        # They would be waited for as long as a peer.
        patient = self.options + '\ntimeout = "120s"\nping-int = "1s"'
        for node in self.nodes:
            self.set_up(node, patient, PSK)
        self.begin()
        self.beta.ctl("disconnect", "vm1")
        for port in self.ports[:2]:
            for _ in range(100):
                stranger = socket.create_connection(("127.0.0.1", port))
                self.addCleanup(stranger.close)
        self.beta.ctl("connect", "vm1")
        self.connect_both()
        self.write_and_compare()

    # --- new certificates ---

    def test_new_certificates_count_for_the_next_link(self):
        self.set_up_certificates()
        self.begin()
        # Of a new authority: the link that is there goes on, the next one needs both nodes to know.
        shutil.rmtree(self.authority.folder)
        self.authority.make()
        self.alpha.daemon.send_signal(signal.SIGHUP)
        self.alpha.daemon.wait_for_line("certificates and keys read again")
        self.assertEqual(self.connection(self.alpha)["connection-state"], "Connected")
        self.beta.ctl("disconnect", "vm1")
        self.beta.ctl("connect", "vm1")
        baton_test.wait_for(
            lambda: "its certificate is not accepted" in
            (self.connection(self.beta).get("last-error") or ""), "beta to be refused", 20)
        self.beta.daemon.send_signal(signal.SIGHUP)
        self.connect_both()
        self.synced()
        self.write_and_compare()


if __name__ == "__main__":
    baton_test.main()
