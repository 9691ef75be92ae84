#!/usr/bin/python3
"""Goal: the comparison measures what is there, names what is missing, and leaves nothing behind.
Method: one second of one row against qemu-nbd on tmpfs; and against a build without batond. Every row
of the plain exports for a fiftieth of a second; and its client against a server that forgets."""
import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "fio_jobs"))
import baton_test  # noqa: E402
from endpoint import HOST, Endpoint, make_certificates  # noqa: E402


class CompareCase(baton_test.TestCase):
    def compare(self, *options, build=baton_test.BUILD_DIR, check=True):
        report = self.folder / "report.json"
        place = self.folder / "files"
        place.mkdir(exist_ok=True)
        # Whatever this folder is on, it may be called that.
        kind = baton_test.run(["stat", "-f", "-c", "%T", place]).stdout.strip()
        where = "tmpfs" if kind == "tmpfs" else "disk"
        done = baton_test.run(
            [baton_test.SOURCE_DIR / "fio_jobs" / "compare", "--quick", "--size", "16", "--where", where,
             f"--{where}-dir", place, "--json", report, *options],
            check=check, env={**os.environ, "BATON_BUILD_DIR": str(build)})
        self.assertEqual(list(place.iterdir()), [], "files were left behind")
        return done, json.loads(report.read_text()) if report.exists() else None


@baton_test.requires_programs("fio", "qemu-nbd")
class Compare(CompareCase):
    def test_a_contender_is_measured_and_nothing_is_left(self):
        done, report = self.compare("--only", "qemu-nbd", "--rows", "read, depth 16")
        (row,) = report["results"]
        self.assertEqual((row["contender"], row["row"]), ("qemu-nbd", "4 KiB random read, depth 16"))
        for metric in ("iops", "mean_us", "p99_us", "cpu_us"):
            self.assertGreater(row["median"][metric], 0, metric)
        self.assertIn("qemu-nbd", done.stdout)
        self.assertEqual(report["missing"], [])

    def test_a_contender_that_is_not_built_is_named(self):
        done, report = self.compare("--only", "alone", build=self.folder)
        self.assertEqual(report["results"], [])
        self.assertRegex(done.stdout, r"missing: Baton alone on \w+: .*batond is not built")

    def test_an_unknown_contender_is_an_error_that_lists_them(self):
        done, _ = self.compare("--only", "nobody", check=1)
        self.assertIn("raw file, qemu-nbd", done.stderr)

    def test_transports_belong_to_the_plain_exports(self):
        done, _ = self.compare("--over", "tls", check=2)
        self.assertIn("--over belongs to --plain", done.stderr)


@baton_test.requires_programs("openssl", "nbdkit")
class PlainExports(CompareCase):
    def setUp(self):
        super().setUp()
        self.nbd_load = baton_test.program("nbd_load")

    def test_every_row_is_measured_over_tcp_and_over_tls(self):
        done, report = self.compare("--plain", "--runtime", "0.02")
        measured = {}
        for row in report["results"]:
            transport = row["place"].split(" over ")[1]
            measured.setdefault((row["contender"], transport), []).append(row["row"])
            self.assertGreater(row["median"]["iops"], 0, row)
            self.assertGreater(row["median"]["p99_us"], 0, row)
        for seen, rows in measured.items():
            self.assertEqual(len(rows), 8, seen)
        for contender, program in (("nbdkit file", "nbdkit"), ("nbdkit memory", "nbdkit"),
                                   ("qemu-nbd", "qemu-nbd"), ("nbd-server", "nbd-server")):
            if baton_test.find_program(program):
                self.assertIn((contender, "TCP"), measured, done.stdout)
                self.assertIn((contender, "TLS"), measured, done.stdout)
            else:
                self.assertIn(f"missing: {contender} on", done.stdout)
        for transport in ("TCP", "TLS"):
            self.assertIn(("Baton alone", transport), measured, done.stdout)
        self.assertRegex(done.stdout, r"(ahead |BEHIND) Baton alone, \w+ over TCP, 4 KiB random read")

    def test_the_client_finds_out_a_server_that_forgets(self):
        socket = self.folder / "n.sock"
        self.start(["nbdkit", "--foreground", "--unix", socket, "null", "size=16M"])
        self.wait_for(lambda: baton_test.accepts(socket), "nbdkit to listen")
        done = baton_test.run([self.nbd_load, f"nbd+unix:///?socket={socket}", "verify",
                               "--connections", 4], check=1)
        self.assertRegex(done.stderr, r"what was read at offset \d+ is not what was written")

    def test_the_client_refuses_what_is_older_than_tls_1_3(self):
        make_certificates(self.folder)
        old = self.folder / "old.conf"
        for server_config, status in (("", 0), ("[overrides]\ndisabled-version = tls1.3\n", 1)):
            with self.subTest(server=server_config):
                old.write_text(server_config)
                endpoint = Endpoint(port=baton_test.free_port(), certificates=self.folder)
                self.start(["nbdkit", "--foreground", "--ipaddr", HOST, "--port", endpoint.port,
                            "--tls=require", f"--tls-certificates={self.folder}", "memory", "size=1M"],
                           env={**os.environ, "GNUTLS_SYSTEM_PRIORITY_FILE": str(old)})
                self.wait_for(lambda: baton_test.accepts(endpoint.listens), "nbdkit to listen")
                config = baton_test.SOURCE_DIR / "fio_jobs" / "gnutls_of_nbd_load.conf"
                baton_test.run([self.nbd_load, endpoint.uri(), "fill"], check=status,
                               env={**os.environ, "GNUTLS_SYSTEM_PRIORITY_FILE": str(config)})


if __name__ == "__main__":
    baton_test.main()
