#!/usr/bin/python3
"""Goal: the runner of the test scripts counts right, names what it skips and leaves no process.
Method: a small script with one case of each outcome, run as ctest would."""
import os
import pathlib
import re
import sys

SUPPORT = pathlib.Path(__file__).resolve().parents[2] / "support"
sys.path.insert(0, str(SUPPORT))
import baton_test  # noqa: E402

HEAD = f"""
import sys, unittest
sys.path.insert(0, {str(SUPPORT)!r})
import baton_test
"""
EVERY_OUTCOME = HEAD + """
class Case(baton_test.TestCase):
    def test_a_passes(self): pass
    def test_b_fails(self):
        self.start(["sh", "-c", "echo the last words; read forever"], stdin=-1).wait_for_line("words")
        self.fail("on purpose")
    def test_c_errors(self): raise OSError("on purpose")
    def test_d_skips(self): self.skipTest("needs a moon")
    @baton_test.requires_programs("no-such-program")
    def test_e_needs_a_program(self): pass
    def test_f_subtests_count_once(self):
        for number in range(3):
            with self.subTest(number=number): self.assertNotEqual(number, 7)
    def test_g_waits_in_vain(self):
        baton_test.wait_for(lambda: False, "godot", timeout=0.05)
    def test_h_sees_a_death(self):
        dead = self.start(["sh", "-c", "echo goodbye; exit 3"])
        with self.assertRaisesRegex(baton_test.Failed, "exited with 3(.|\\\\n)*goodbye"):
            dead.wait_for_line("never said", timeout=60)
class Slow(baton_test.TestCase):
    timeout_seconds = 1
    def test_too_late(self): self.start(["cat"], stdin=-1).wait(60)
baton_test.main()
"""


class Runner(baton_test.TestCase):
    def run_script(self, text, *arguments):
        script = self.folder / "sample_test.py"
        script.write_text(text)
        return baton_test.run([sys.executable, "-B", script, *arguments], check=False)

    def test_every_outcome_is_counted_and_named(self):
        done = self.run_script(EVERY_OUTCOME)
        self.assertEqual(done.returncode, 1)
        lines = done.stdout.splitlines()
        self.assertEqual(lines[-1], "baton-test: 3 passed, 4 failed, 2 skipped", done.stdout)
        self.assertIn("baton-test: skipped Case.test_d_skips: needs a moon", lines)
        self.assertIn("baton-test: failed Slow.test_too_late", lines)
        self.assertIn("baton-test: passed Case.test_f_subtests_count_once", lines)
        self.assertRegex(done.stdout, "skipped Case.test_e.*no-such-program.*install-deps")
        self.assertIn("in vain for godot", done.stderr)
        self.assertIn("the last words", done.stderr)

    def test_a_choice_of_cases_runs_only_them(self):
        done = self.run_script(EVERY_OUTCOME, "-k", "a_passes")
        self.assertEqual(done.returncode, 0)
        self.assertEqual(done.stdout.splitlines()[-1], "baton-test: 1 passed, 0 failed, 0 skipped")

    def test_processes_are_gone_after_the_case(self):
        done = self.run_script(HEAD + """
class Case(baton_test.TestCase):
    def test_leaves_one_and_its_child(self):
        left = self.start(["sh", "-c", "cat & echo child $!; wait"], stdin=-1)
        print("pids", left.pid, left.wait_for_line(r"child (\\d+)")[1])
baton_test.main()
""")
        self.assertEqual(done.returncode, 0, done.stderr)
        pids = re.search(r"pids (\d+) (\d+)", done.stdout).groups()
        baton_test.wait_for(lambda: not any(is_alive(int(pid)) for pid in pids), "both to be gone")

    def test_a_killed_test_leaves_no_process(self):
        script = self.folder / "sample_test.py"
        script.write_text(HEAD + """
class Case(baton_test.TestCase):
    def test_hangs(self):
        left = self.start(["cat"], stdin=-1)
        print("pid", left.pid, flush=True)
        left.wait(60)
baton_test.main()
""")
        hanging = self.start([sys.executable, "-B", script])
        pid = int(hanging.wait_for_line(r"^pid (\d+)")[1])
        self.assertTrue(is_alive(pid))
        hanging.send_signal(9)
        hanging.wait()
        baton_test.wait_for(lambda: not is_alive(pid), "the process of the killed test to be gone")


def is_alive(pid):
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z" and os.path.exists(f"/proc/{pid}")


if __name__ == "__main__":
    baton_test.main()
