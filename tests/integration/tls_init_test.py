#!/usr/bin/python3
"""Goal: `batonctl tls-init` gives people without a CA certificates that QEMU, libnbd, nbdkit and OpenSSL
accept between nodes and from clients, and that no client can use to pose as a node.
Method: the verb on a configuration of two nodes; others' programs judge what it made."""
import datetime
import json
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import baton_test  # noqa: E402
from baton_node import Node  # noqa: E402

NODE = """
[node.{name}]
address = "{address}:7789"
nbd     = ["unix:{name}.sock", "tcp:0.0.0.0:10809"]
disks   = ["{name}.img"]
"""
RESOURCE = """[resource]
name   = "vm1"
secret = "for the addresses below"

[[volume]]
size = "8MiB"
"""
TWO_NODES = (RESOURCE + NODE.format(name="alpha", address="10.0.0.1") +
             NODE.format(name="beta", address="10.0.0.2"))
OF_NODE = {"ca-cert.pem", "server-cert.pem", "server-key.pem", "client-cert.pem", "client-key.pem"}
OF_CLIENT = {"ca-cert.pem", "client-cert.pem", "client-key.pem"}


@baton_test.requires_programs("openssl")
class TlsInit(baton_test.TestCase):
    def setUp(self):
        super().setUp()
        self.node = Node(self)
        self.configure(TWO_NODES)
        self.dir = self.folder / "certs"

    def configure(self, text):
        (self.folder / "vm1.toml").write_text(text)

    def make(self, *words):
        return self.node.ctl("tls-init", "--dir", self.dir, *words).stdout

    def refuses(self, *words, status=1):
        return self.node.refuses("tls-init", "--dir", self.dir, *words, status=status)

    def content(self):
        """Every file below DIR."""
        return {str(path.relative_to(self.dir)): path.read_bytes()
                for path in self.dir.rglob("*") if path.is_file()}

    def changed_by(self, before):
        return {name for name, text in self.content().items() if before.get(name) != text}

    def openssl(self, *words, check=True):
        return baton_test.run(["openssl", *words], check=check)

    def verify(self, certificate, purpose, check=True):
        return self.openssl("verify", "-x509_strict", "-CAfile", self.dir / "ca-cert.pem",
                            "-purpose", purpose, self.dir / certificate, check=check)

    def shown(self, certificate, *what):
        return self.openssl("x509", "-noout", *what, "-in", self.dir / certificate).stdout.strip()


class Making(TlsInit):
    def test_every_node_and_client_gets_a_folder_with_what_it_needs(self):
        said = self.make("--client", "gamma", "--client", "delta")
        files = {name: {path.name for path in (self.dir / name).iterdir()}
                 for name in ("alpha", "beta", "gamma", "delta")}
        self.assertEqual(files, {"alpha": OF_NODE, "beta": OF_NODE,
                                 "gamma": OF_CLIENT, "delta": OF_CLIENT})
        self.assertEqual({path.name for path in self.dir.iterdir()},
                         {*files, "ca-cert.pem", "ca-key.pem"})
        self.assertRegex(said, rf"^made {self.dir}/ca-cert.pem, {self.dir}/ca-key.pem: "
                               r"Baton CA [0-9a-f]{8}, until \d{4}-\d\d-\d\d\n"
                               rf"made {self.dir}/alpha: for node alpha \(10.0.0.1\), until ")
        self.assertIn(f"made {self.dir}/gamma: for client gamma, until ", said)
        for step in (f"{self.dir}/NODE to /etc/baton/tls", f"keep {self.dir}/ca-key.pem somewhere safe",
                     "[tls]\n", 'dir = "/etc/baton/tls"\n', 'nbd = "required"\n', 'replication = "x509"\n'):
            self.assertIn(step, said)

    def test_keys_are_for_their_owner_alone(self):
        # A umask that hides nothing, and one that hides all.
        for name, mask in (("open", 0o000), ("shut", 0o077)):
            self.dir = self.folder / name
            self.node.ctl("tls-init", "--dir", f"{self.dir}/", "--client", "gamma", umask=mask)
            for path in [self.dir, *self.dir.rglob("*")]:
                wanted = (0o700 if path.is_dir() else
                          0o600 if path.name.endswith("-key.pem") else 0o644)
                self.assertEqual(oct(path.stat().st_mode & 0o777), oct(wanted), path)

    def test_the_folder_is_relative_to_where_it_runs(self):
        there = self.folder / "there"
        there.mkdir()
        said = self.node.ctl("tls-init", "--dir", "new/certs", cwd=there).stdout
        self.assertIn("made new/certs/alpha: for node alpha", said)
        self.assertTrue((there / "new/certs/alpha/server-key.pem").exists())

    def test_names_uses_and_times_are_as_they_are_needed(self):
        self.make("--client", "gamma", "--days", "30")
        for certificate, names in (("alpha/server-cert.pem", "DNS:alpha, IP Address:10.0.0.1"),
                                   ("alpha/client-cert.pem", "DNS:alpha-client"),
                                   ("gamma/client-cert.pem", "DNS:gamma")):
            shown = self.shown(certificate, "-ext", "subjectAltName", "-subject")
            self.assertEqual(shown.splitlines()[1].strip(), names)
            self.assertEqual(shown.splitlines()[-1], "subject=CN = " + names.split(",")[0][len("DNS:"):])
            self.shown(certificate, "-checkend", str(30 * 86400 - 600))
            self.openssl("x509", "-noout", "-checkend", str(30 * 86400 + 1), "-in",
                         self.dir / certificate, check=1)
            self.verify(certificate, "sslclient")
        self.shown("ca-cert.pem", "-checkend", str(3650 * 86400 - 600))
        self.verify("alpha/server-cert.pem", "sslserver")
        for client in ("alpha/client-cert.pem", "gamma/client-cert.pem"):
            self.assertIn("unsuitable certificate purpose", self.verify(client, "sslserver", check=2).stderr)
        start = self.shown("alpha/server-cert.pem", "-startdate")
        began = datetime.datetime.strptime(start, "notBefore=%b %d %H:%M:%S %Y GMT")
        age = datetime.datetime.utcnow() - began
        self.assertAlmostEqual(age.total_seconds(), 3600, delta=60)

    def test_no_certificate_outlives_the_ca(self):
        self.make("--days", "36500")
        ends = [self.shown(certificate, "-enddate") for certificate in
                ("ca-cert.pem", "alpha/server-cert.pem", "beta/client-cert.pem")]
        self.assertEqual(len(set(ends)), 1, ends)

    def test_scripts_read_json(self):
        self.configure(TWO_NODES.replace('"10.0.0.2', '"127.0.0.1'))
        done = json.loads(self.make("--json", "--client", "gamma"))
        self.assertTrue(done["ca"]["made"])
        self.assertEqual([(each["name"], each["node"], each["made"], each["addresses"], each["faults"])
                          for each in done["folders"]],
                         [("alpha", True, True, ["10.0.0.1"], []),
                          ("beta", True, True, ["127.0.0.1"], []),
                          ("gamma", False, True, [], [])])
        self.assertEqual(done["folders"][0]["folder"], f"{self.dir}/alpha")
        self.assertEqual(done["folders"][0]["until"], done["ca"]["until"])
        again = json.loads(self.make("--json"))
        self.assertFalse(again["ca"]["made"])
        self.assertEqual([each["made"] for each in again["folders"]], [False, False])


class Repeating(TlsInit):
    def setUp(self):
        super().setUp()
        self.make("--client", "gamma")
        self.before = self.content()

    def test_what_is_there_is_kept(self):
        self.assertEqual(self.make("--client", "gamma"), f"nothing is missing in {self.dir}\n")
        self.assertEqual(self.content(), self.before)

    def test_a_new_node_and_a_new_client_get_their_folders(self):
        (self.folder / "conf").mkdir()
        (self.folder / "conf/vm1.toml").write_text(TWO_NODES)
        (self.folder / "conf/vm2.toml").write_text(
            TWO_NODES.replace('"vm1"', '"vm2"').replace("beta", "epsilon").replace("7789", "7790")
            .replace("alpha.", "alpha2.").replace("10.0.0.2", "10.0.0.3"))
        self.node.config = self.folder / "conf"
        said = self.make("--client", "delta")
        self.assertIn(f"made {self.dir}/epsilon: for node epsilon (10.0.0.3)", said)
        self.assertEqual(self.changed_by(self.before), {f"epsilon/{name}" for name in OF_NODE} |
                         {f"delta/{name}" for name in OF_CLIENT})
        self.verify("epsilon/server-cert.pem", "sslserver")

    def test_a_half_that_is_missing_is_made_with_its_other_half(self):
        (self.dir / "alpha/server-cert.pem").unlink()
        (self.dir / "beta/client-key.pem").unlink()
        (self.dir / "gamma/ca-cert.pem").unlink()
        self.make("--client", "gamma")
        self.assertEqual(self.changed_by(self.before),
                         {"alpha/server-cert.pem", "alpha/server-key.pem",
                          "beta/client-cert.pem", "beta/client-key.pem"})
        self.assertEqual(self.content().keys(), self.before.keys())
        self.assertEqual(self.make("--client", "gamma"), f"nothing is missing in {self.dir}\n")

    def test_renew_makes_all_anew_with_the_same_ca(self):
        self.make("--renew")
        self.assertEqual(self.changed_by(self.before),
                         {f"{node}/{name}" for node in ("alpha", "beta")
                          for name in OF_NODE - {"ca-cert.pem"}}, "gamma was not named")
        self.before = self.content()
        self.make("--renew", "--client", "gamma", "--days", "10")
        self.assertLessEqual({"gamma/client-cert.pem", "gamma/client-key.pem"},
                             self.changed_by(self.before))
        self.verify("gamma/client-cert.pem", "sslclient")
        self.verify("beta/server-cert.pem", "sslserver")

    def test_a_certificate_that_does_not_cover_the_configuration_is_named_until_it_is_renewed(self):
        self.configure(TWO_NODES.replace("10.0.0.2", "10.0.0.9"))
        self.assertEqual(self.make(), f"{self.dir}/beta/server-cert.pem does not name 10.0.0.9: "
                                      "make it anew with --renew\n")
        self.assertEqual(self.content(), self.before)
        self.make("--renew")
        self.assertEqual(self.make(), f"nothing is missing in {self.dir}\n")
        self.assertIn("10.0.0.9", self.shown("beta/server-cert.pem", "-ext", "subjectAltName"))

    def test_what_was_a_client_and_is_a_node_is_told_to_renew(self):
        self.configure(TWO_NODES.replace("beta", "gamma"))
        self.assertIn(f"{self.dir}/gamma/client-cert.pem does not name gamma-client: make it anew",
                      self.make())

    def test_what_another_ca_made_is_named(self):
        own, self.dir = self.dir, self.folder / "other"
        self.make()
        for name in ("ca-cert.pem", "ca-key.pem"):
            (own / name).write_bytes((self.dir / name).read_bytes())
        self.dir = own
        said = self.make()
        self.assertIn("alpha/ca-cert.pem is of another CA: make it anew with --renew", said)
        self.assertIn("alpha/server-cert.pem was signed by another CA: make it anew with --renew", said)
        self.make("--renew")
        self.assertEqual(self.make(), f"nothing is missing in {self.dir}\n")
        self.verify("alpha/server-cert.pem", "sslserver")


class Refusals(TlsInit):
    def unchanged(self, *words, status=1):
        before = self.content()
        said = self.refuses(*words, status=status)
        self.assertEqual(self.content(), before)
        return said

    def test_a_name_that_is_no_clients(self):
        self.make()
        self.assertIn("beta is a node", self.unchanged("--client", "beta"))
        self.assertIn("the client on node alpha", self.unchanged("--client", "alpha-client"))
        self.assertIn("is no client name", self.unchanged("--client", "../gamma", status=2))
        self.unchanged("--days", "0", status=2)
        self.configure(TWO_NODES.replace("beta", "epsilon"))
        self.assertIn(f"{self.dir}/beta has the certificate of a node",
                      self.unchanged("--client", "beta", "--renew"))

    def test_nothing_is_made_where_it_refuses(self):
        self.refuses("--client", "beta")
        self.assertFalse(self.dir.exists())
        self.configure(TWO_NODES.replace("[[volume]]", "[[volumes]]"))
        self.refuses(status=10)
        self.configure("")
        (self.folder / "vm1.toml").unlink()
        self.assertIn("no such file or directory", self.refuses(status=10))
        self.node.config = self.folder / "empty"
        self.node.config.mkdir()
        self.assertIn("has no resource", self.refuses())
        self.assertFalse(self.dir.exists())

    def test_a_ca_without_its_key(self):
        self.make()
        (self.dir / "ca-key.pem").rename(self.folder / "ca-key.pem")
        self.assertIn(f"{self.dir}/ca-key.pem is missing, the key of {self.dir}/ca-cert.pem: bring it back",
                      self.unchanged("--renew"))
        (self.folder / "ca-key.pem").rename(self.dir / "ca-key.pem")
        (self.dir / "ca-cert.pem").unlink()
        self.assertIn(f"{self.dir}/ca-cert.pem is missing", self.unchanged())

    def test_a_ca_that_does_not_fit_its_key(self):
        self.make()
        self.openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out",
                     self.dir / "ca-key.pem")
        self.assertIn(f"{self.dir}/ca-key.pem is not the key of {self.dir}/ca-cert.pem", self.unchanged())
        (self.dir / "ca-key.pem").write_text("nonsense")
        self.assertIn(f"{self.dir}/ca-key.pem is no private key", self.unchanged())

    def test_a_ca_that_has_ended(self):
        self.make()
        self.openssl("x509", "-in", self.dir / "ca-cert.pem", "-signkey", self.dir / "ca-key.pem",
                     "-days", "-1", "-out", self.folder / "ended.pem")
        (self.folder / "ended.pem").rename(self.dir / "ca-cert.pem")
        self.assertIn(f"{self.dir}/ca-cert.pem expired on ", self.unchanged("--renew"))

    def test_what_failed_half_way_is_made_by_the_next_one(self):
        (self.dir / "beta/client-key.pem").mkdir(parents=True)
        done = self.node.ctl("tls-init", "--dir", self.dir, check=1)
        self.assertIn(f"made {self.dir}/alpha", done.stdout)
        self.assertEqual(done.stderr, f"batonctl: {self.dir}/beta/client-key.pem cannot be read: "
                                      "Is a directory\n")
        (self.dir / "beta/client-key.pem").rmdir()
        before = self.content()
        self.assertIn(f"made {self.dir}/beta", self.make())
        self.assertEqual(self.changed_by(before), {"beta/client-cert.pem", "beta/client-key.pem"})

    def test_a_second_one_at_the_same_time(self):
        self.dir.mkdir()
        holder = self.start(["flock", self.dir, "sh", "-c", "echo locked; exec cat"],
                            stdin=subprocess.PIPE)
        holder.wait_for_line("^locked$")
        self.assertIn(f"another tls-init works in {self.dir}", self.unchanged())
        holder.close_stdin()
        self.assertEqual(holder.wait(), 0)
        self.make()


class Using(TlsInit):
    """Both ends verify each other; on a unix socket, so that no port is needed."""

    def setUp(self):
        super().setUp()
        self.make("--client", "gamma")
        self.socket = self.folder / "tls.sock"

    def ends(self, name, role):
        folder = self.dir / name
        return ["-CAfile", folder / "ca-cert.pem", "-cert", folder / f"{role}-cert.pem",
                "-key", folder / f"{role}-key.pem", "-verify_return_error"]

    def talk(self, server, client, expect=0):
        """Two of (folder, role) shake hands, and the server turns round what the client sends."""
        self.socket.unlink(missing_ok=True)
        serving = self.start(["openssl", "s_server", "-unix", self.socket, "-Verify", "1", "-rev",
                              *self.ends(*server)], name="s_server")
        serving.wait_for_line("^ACCEPT ")
        words = self.folder / "words"
        words.write_text("baton\nCLOSE\n")
        with open(words, encoding="utf-8") as sent:
            done = baton_test.run(["openssl", "s_client", "-unix", self.socket, "-quiet",
                                   "-verify_hostname", server[0], "-verify", "1", *self.ends(*client)],
                                  check=False, stdin=sent)
        serving.kill()
        return done.stdout.strip(), done.stderr + serving.log()

    def test_two_nodes_shake_hands_in_both_directions(self):
        for ends in ((("alpha", "server"), ("beta", "server")), (("beta", "server"), ("alpha", "server"))):
            said, log = self.talk(*ends)
            self.assertEqual(said, "notab", log)
            self.assertIn("CN = " + ends[1][0], log)

    def test_a_client_is_heard_and_never_taken_for_a_server(self):
        for client in (("gamma", "client"), ("beta", "client")):
            said, log = self.talk(("alpha", "server"), client)
            self.assertEqual(said, "notab", log)
        said, log = self.talk(("gamma", "client"), ("alpha", "server"))
        self.assertEqual(said, "", log)
        self.assertIn("unsuitable certificate purpose", log)

    def test_somebody_of_another_ca_is_not_heard(self):
        own, self.dir = self.dir, self.folder / "other"
        self.make("--client", "mallory")
        (self.dir / "mallory/ca-cert.pem").write_bytes((own / "ca-cert.pem").read_bytes())
        (self.dir / "mallory").rename(own / "mallory")
        self.dir = own
        said, log = self.talk(("alpha", "server"), ("mallory", "client"))
        self.assertEqual(said, "", log)
        self.assertIn("certificate verify failed", log)

    @baton_test.requires_programs("qemu-nbd", "qemu-img", "nbdinfo")
    def test_qemu_and_libnbd_take_the_folders_as_they_are(self):
        disk = self.folder / "disk"
        disk.write_bytes(bytes(1 << 20))
        server = self.start(["qemu-nbd", "-f", "raw", "-t", "-k", self.socket, "--object",
                             f"tls-creds-x509,id=t,endpoint=server,dir={self.dir}/alpha,verify-peer=yes",
                             "--tls-creds", "t", disk])
        baton_test.wait_for(lambda: baton_test.accepts(self.socket), "qemu-nbd", watch=[server])
        self.assert_served()

    @baton_test.requires_programs("nbdkit", "qemu-img", "nbdinfo")
    def test_nbdkit_takes_the_folders_as_they_are(self):
        server = self.start(["nbdkit", "--foreground", "--unix", self.socket, "--tls=require",
                             "--tls-verify-peer", f"--tls-certificates={self.dir}/alpha", "memory", "1M"])
        baton_test.wait_for(lambda: baton_test.accepts(self.socket), "nbdkit", watch=[server])
        self.assert_served()

    def assert_served(self):
        for client in ("beta", "gamma"):
            shown = baton_test.run(["nbdinfo", "--size", f"nbds+unix://alpha/?socket={self.socket}&"
                                    f"tls-certificates={self.dir}/{client}"])
            self.assertEqual(shown.stdout, "1048576\n")
            shown = baton_test.run([
                "qemu-img", "info", "--output=json", "--object",
                f"tls-creds-x509,id=t,endpoint=client,dir={self.dir}/{client}", "--image-opts",
                f"driver=nbd,server.type=unix,server.path={self.socket},tls-creds=t,tls-hostname=alpha"])
            self.assertEqual(json.loads(shown.stdout)["virtual-size"], 1 << 20)
        (self.dir / "none").mkdir()
        (self.dir / "none/ca-cert.pem").write_bytes((self.dir / "ca-cert.pem").read_bytes())
        refused = baton_test.run(["nbdinfo", "--size", f"nbds+unix://alpha/?socket={self.socket}&"
                                  f"tls-certificates={self.dir}/none"], check=False)
        self.assertNotEqual(refused.returncode, 0, "without a certificate")


if __name__ == "__main__":
    baton_test.main()
