#!/usr/bin/python3
"""Goal: scripts/test counts every case once, and nothing that went wrong is counted as passed.
Method: a real ctest runs small scripts that end in each way a test can end."""
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "support"))
sys.path.insert(0, str(ROOT / "scripts" / "suite"))
import baton_test  # noqa: E402
from counts import Counts, add_ctest  # noqa: E402

GOOGLETEST = """<testsuites tests="4" failures="1">
<testsuite name="S" tests="4">
<testcase name="good" status="run" result="completed" classname="S"/>
<testcase name="bad" status="run" result="completed" classname="S"><failure message="no"/></testcase>
<testcase name="odd" status="run" result="skipped" classname="S"><skipped message="needs a moon"/></testcase>
<testcase name="DISABLED_old" status="notrun" result="suppressed" classname="S"/>
</testsuite></testsuites>"""


class Counting(baton_test.TestCase):
    def count(self, tests, xml=()):
        """Runs {name: shell text} under ctest and counts."""
        build = self.folder
        lines = []
        for name, text in tests.items():
            script = build / f"{name}.sh"
            script.write_text(text)
            lines.append(f'add_test({name} "sh" "{script}")')
            lines.append(f"set_tests_properties({name} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 2)")
        (build / "CTestTestfile.cmake").write_text("\n".join(lines) + "\n")
        results = build / "results"
        results.mkdir()
        for name, text in dict(xml).items():
            (results / f"{name}.xml").write_text(text)
        baton_test.run(["ctest", "--test-dir", build, "--output-junit", results / "junit.xml",
                        "--test-output-size-passed", "1000000", "--test-output-truncation", "head"],
                       check=False)
        counts = Counts()
        add_ctest(counts, results / "junit.xml", results)
        return counts

    def test_a_plain_script_is_one_case(self):
        counts = self.count({"good": "exit 0", "bad": "exit 1", "odd": "echo no moon; exit 77"})
        self.assertEqual(counts.passed, 1)
        self.assertEqual(len(counts.failed), 1)
        self.assertIn("bad", counts.failed[0])
        self.assertEqual(counts.skipped, ["odd: no moon"])

    def test_cases_of_a_script_are_counted_and_named(self):
        counts = self.count({"three": "seq 20000; echo baton-test: passed a; echo baton-test: skipped b: "
                                      "why not; echo baton-test: failed c; exit 1"})
        self.assertEqual((counts.passed, counts.failed, counts.skipped),
                         (1, ["three: c"], ["three: b: why not"]))

    def test_a_script_whose_cases_pass_but_which_fails_is_a_failure(self):
        counts = self.count({"x": "echo baton-test: passed a; exit 1"})
        self.assertEqual(counts.passed, 1)
        self.assertEqual(len(counts.failed), 1)

    def test_googletest_cases_are_counted_and_named(self):
        counts = self.count({"unit_s": "exit 1"}, {"unit_s": GOOGLETEST})
        self.assertEqual(counts.passed, 1)
        self.assertEqual(counts.failed, ["S.bad"])
        self.assertEqual(counts.skipped, ["S.odd: needs a moon",
                                          "S.DISABLED_old: disabled (DISABLED_ in its name)"])

    def test_a_program_that_crashes_or_hangs_is_a_failure(self):
        counts = self.count({"crash": "echo '[ RUN      ] A.b'; echo '[       OK ] A.b (0 ms)'; "
                                      "echo '[ RUN      ] A.c'; kill -SEGV $$",
                             "hang": "exec tail -f /dev/null",
                             "half": "exit 139"}, {"half": "<testsuites><testsu"})
        self.assertEqual(counts.passed, 0)
        self.assertEqual(len(counts.failed), 3)
        self.assertIn("it ended in A.c", counts.failed[0])

    def test_a_program_that_is_not_there_is_a_failure(self):
        build = self.folder
        (build / "CTestTestfile.cmake").write_text('add_test(gone "/no/such/program")\n')
        (build / "results").mkdir()
        junit = build / "results" / "junit.xml"
        baton_test.run(["ctest", "--test-dir", build, "--output-junit", junit], check=False)
        counts = Counts()
        add_ctest(counts, junit, build / "results")
        self.assertEqual((counts.passed, len(counts.failed)), (0, 1))


if __name__ == "__main__":
    baton_test.main()
