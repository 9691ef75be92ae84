#!/usr/bin/python3
"""Goal: the comparison measures what is there, names what is missing, and leaves nothing behind.
Method: one second of one row against qemu-nbd on tmpfs; and against a build without batond."""
import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import baton_test  # noqa: E402


@baton_test.requires_programs("fio", "qemu-nbd")
class Compare(baton_test.TestCase):
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


if __name__ == "__main__":
    baton_test.main()
