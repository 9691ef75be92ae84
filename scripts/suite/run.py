"""The suite behind scripts/test: its stages in order, what each may cost, and the count at the end.

A stage that fails is counted as one failed case and does not keep the others from running, except
that nothing is run that was not built.
"""
import argparse
import os
import shutil
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import texts  # noqa: E402
import tidy  # noqa: E402
from commands import run  # noqa: E402
from counts import Counts, add_ctest, add_script  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CORES = os.cpu_count() or 2
# Left out by --quick: minutes each, or slow by their label.
QUICK_LEAVES_OUT = "^(slow|migration|chaos|fuzz)$"
SANITIZERS = {
    "ASAN_OPTIONS": "detect_stack_use_after_return=1:strict_string_checks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "second_deadlock_stack=1",
    "ASAN_SYMBOLIZER_PATH": "/usr/bin/llvm-symbolizer-19",
}


class Stage:
    """Prints what a stage cost against its budget; past the limit its commands are ended."""

    def __init__(self, suite, name, budget_seconds):
        self.suite = suite
        self.name = name
        self.budget = budget_seconds
        self.limit = budget_seconds * 3

    def __enter__(self):
        self.started = time.monotonic()
        print(f"\n== {self.name}", flush=True)
        return self

    def __exit__(self, kind, error, trace):
        seconds = time.monotonic() - self.started
        over = "  OVER BUDGET" if seconds > self.budget else ""
        print(f"-- {self.name}: {seconds:.0f} s of {self.budget} s{over}", flush=True)
        self.suite.times.append((self.name, seconds, self.budget))

    def left(self):
        return self.limit - (time.monotonic() - self.started)


class Suite:
    def __init__(self, arguments):
        self.arguments = arguments
        self.counts = Counts()
        self.times = []

    def verdict(self, name, problem):
        if problem:
            print(problem.rstrip())
            print(f"failed: {name}", flush=True)
            self.counts.fails(name)
        else:
            self.counts.passes()

    # --- texts

    def check_texts(self):
        with Stage(self, "imports, layout and syntax", 30):
            script = os.path.join(ROOT, "scripts", "check-imports")
            done = run([script, "--self-test"], 60, ROOT)
            if not add_script(self.counts, done.output, "check-imports --self-test") or not done.ok:
                print(done.output)
            done = run([script], 60, ROOT)
            print(done.output, end="")
            self.verdict("check-imports", None if done.ok else "see above")
            files = texts.source_files(ROOT)
            self.verdict("clang-format", texts.format_problem(ROOT, files))
            self.verdict("syntax of scripts", "\n".join(texts.script_problems(ROOT, files)))

    def check_tidy(self, budget):
        with Stage(self, "clang-tidy", budget):
            problems, looked, left, unseen = tidy.check(
                ROOT, os.path.join(ROOT, "build", "release"), budget - 30, CORES,
                self.arguments.tidy_all)
            for problem in problems:
                self.verdict(problem.split(":", 1)[0], problem)
            for _ in range(looked - len(problems)):
                self.counts.passes()
            print(f"{looked} translation units looked at")
            if unseen:
                print(f"part of no program of this build: {', '.join(unseen)}")
            for path in left:
                self.counts.skips(f"clang-tidy {path}", "the stage's time was up; --tidy-all has none")

    # --- build and run

    def build(self, preset, stage, targets=()):
        configure = run(["cmake", "--preset", preset], min(120, stage.left()), ROOT)
        if not configure.ok:
            self.verdict(f"configure {preset}", configure.output)
            return False
        # -k 0: one run shows every error.
        command = ["cmake", "--build", "--preset", preset, "--parallel", str(CORES)]
        if targets:
            command += ["--target", *targets]
        built = run([*command, "--", "-k", "0"], stage.left(), ROOT)
        if not built.ok:
            late = "" if built.status is not None else f"\nended after {stage.limit:.0f} s"
            self.verdict(f"build {preset}", built.output + late)
            return False
        print(f"built {preset}")
        self.counts.passes()
        return True

    def has_tests(self, preset, label):
        listed = run(["ctest", "--test-dir", f"build/{preset}", "-N", "-L", label], 60, ROOT)
        return "Total Tests: 0" not in listed.output

    def ctest(self, preset, stage, *choice, suffix=""):
        folder = os.path.join(ROOT, "build", preset)
        results = os.path.join(folder, "results")
        shutil.rmtree(results, ignore_errors=True)
        os.makedirs(results)
        junit = os.path.join(results, "ctest-junit.xml")
        command = [
            "ctest", "--test-dir", folder, "--parallel", str(CORES), "--output-on-failure",
            "--no-tests=ignore", "--output-junit", junit,
            # Keep the end of what a test prints: that is where scripts say what they counted.
            "--test-output-size-passed", "1000000", "--test-output-size-failed", "1000000",
            "--test-output-truncation", "head", *choice]
        environment = dict(SANITIZERS)
        if self.arguments.quick:
            environment["BATON_QUICK"] = "1"
        done = run(command, stage.left(), ROOT, show=True, environment=environment)
        if not os.path.exists(junit):
            self.verdict(f"ctest {preset}", f"ctest ended with {done.status} and left no result")
            return
        before = len(self.counts.failed)
        add_ctest(self.counts, junit, results, suffix)
        if not done.ok and len(self.counts.failed) == before:
            self.verdict(f"ctest {preset}", f"ctest ended with {done.status}, though no case failed")

    def release(self):
        arguments = self.arguments
        preset = arguments.preset
        sanitized = preset in ("asan", "tsan")
        with Stage(self, f"build {preset}", 200 if arguments.quick else 420) as stage:
            if not self.build(preset, stage):
                return False
        with Stage(self, f"tests ({preset})", 320 if arguments.quick else 1200) as stage:
            choice = []
            if arguments.regex:
                choice += ["-R", arguments.regex]
            if arguments.quick:
                choice += ["-LE", QUICK_LEAVES_OUT]
            if sanitized:
                choice += ["-L", "^sanitized$" if preset == "asan" else "^threads$"]
            if preset == "fuzz":
                choice += ["-L", "^fuzz$"]
            self.ctest(preset, stage, *choice)
        return True

    def sanitizers(self):
        with Stage(self, "AddressSanitizer, UndefinedBehaviorSanitizer", 900) as stage:
            if self.build("asan", stage):
                self.ctest("asan", stage, "-L", "^sanitized$", suffix=" [asan]")
                self.same_hashes("release", "asan", stage)
        if self.has_tests("release", "^threads$"):
            with Stage(self, "ThreadSanitizer", 160) as stage:
                if self.build("tsan", stage):
                    self.ctest("tsan", stage, "-L", "^threads$", suffix=" [tsan]")
        else:
            print("\nThreadSanitizer: no test program is labelled threads")

    def same_hashes(self, one, other, stage):
        """A seed is a whole world: what a build or an address changes in it is a bug."""
        for worlds in (["--seeds", "1..60"], ["--beyond", "--seeds", "1..30"]):
            name = f"simulator: the same hashes in {one} and {other}, {' '.join(worlds)}"
            outputs = []
            for preset in (one, other):
                program = os.path.join(ROOT, "build", preset, "baton-sim")
                command = [program, *worlds, "--hashes", "-j", str(CORES)]
                done = run(command, stage.left(), ROOT, environment=SANITIZERS)
                if not done.ok:
                    self.verdict(name, f"{' '.join(command)} ended with {done.status}\n{done.output}")
                    break
                outputs.append(done.output.splitlines())
            else:
                differ = [f"{one}: {a}; {other}: {b}" for a, b in zip(*outputs) if a != b]
                self.verdict(name, "\n".join(differ))

    def fuzz(self):
        folder = os.path.join(ROOT, "tests", "fuzz")
        if not os.path.exists(os.path.join(folder, "CMakeLists.txt")):
            print("\nfuzz: there are no fuzzers")
            return
        with Stage(self, "fuzzers", 300) as stage:
            if self.build("fuzz", stage):
                self.ctest("fuzz", stage, "-L", "^fuzz$", suffix=" [fuzz]")

    def mutants(self):
        with Stage(self, "mutants of the simulator", 200) as stage:
            if not self.build("mutants", stage):
                return
            program = os.path.join(ROOT, "build", "mutants", "baton-sim")
            done = run([program, "--mutants", "-j", str(CORES)], stage.left(), ROOT)
            lines = done.output.splitlines()
            print(lines[-1] if lines else "it printed nothing")
            self.verdict("mutants", None if done.ok else done.output)
        with Stage(self, "mutants of the crash explorer", 120) as stage:
            explorer = os.path.join(ROOT, "build", "mutants", "baton-crash")
            done = run([explorer, "--mutants"], stage.left(), ROOT)
            lines = done.output.splitlines()
            print(lines[-1] if lines else "it printed nothing")
            self.verdict("mutants of the crash explorer", None if done.ok else done.output)
        with Stage(self, "coverage marks of the simulator", 80) as stage:
            done = run([program, "--marks", "-j", str(CORES)], stage.left(), ROOT)
            print("\n".join(done.output.splitlines()[-2:]) or "it printed nothing")
            self.verdict("coverage marks", None if done.ok else done.output)

    # --- all of it

    def everything(self):
        arguments = self.arguments
        chosen = arguments.regex or arguments.preset != "release"
        if not chosen:
            self.check_texts()
        built = self.release()
        if chosen:
            return
        if arguments.quick:
            print("\nleft out by --quick: clang-tidy, sanitizers, mutants, coverage marks, and tests "
                  "labelled slow, migration, chaos or fuzz")
            if not arguments.tidy_all:
                return
        if built:
            self.check_tidy(300)
        else:
            self.counts.skips("clang-tidy", "the release preset does not build")
        if not arguments.quick:
            self.sanitizers()
            self.fuzz()
            self.mutants()

    def close(self):
        print("\n== time")
        for name, seconds, budget in self.times:
            print(f"{seconds:6.0f} s of {budget:4} s  {name}")
        print(f"{sum(seconds for _, seconds, _ in self.times):6.0f} s in all")
        for text in self.counts.skipped:
            print(f"skipped: {text}")
        for name in self.counts.failed:
            print(f"failed: {name}")
        print(self.counts.closing_line(), flush=True)
        return 1 if self.counts.failed else 0


def main():
    parser = argparse.ArgumentParser(
        prog="scripts/test",
        description="Installs what is missing, builds, and runs the whole suite. The last line is "
                    "`N passed, N failed, N skipped`; the exit status is 0 only if nothing failed.")
    parser.add_argument("--quick", action="store_true",
                        help="under 5 minutes: without clang-tidy, sanitizers, fuzzers, mutants, slow tests")
    parser.add_argument("-R", dest="regex", metavar="REGEX",
                        help="only build, and run the tests whose ctest name matches")
    parser.add_argument("--preset", default="release", metavar="P",
                        choices=["dev", "release", "asan", "tsan", "fuzz"],
                        help="only build this preset (dev, release, asan, tsan, fuzz) and run its tests")
    parser.add_argument("--tidy-all", action="store_true",
                        help="clang-tidy on every file instead of what changed")
    suite = Suite(parser.parse_args())
    sys.stdout.reconfigure(line_buffering=True)  # ctest writes into the same log
    try:
        suite.everything()
    except KeyboardInterrupt:
        suite.counts.fails("the suite was interrupted")
    except Exception as error:  # the count must come out, whatever broke
        import traceback
        traceback.print_exc()
        suite.counts.fails(f"the suite itself: {error}")
    return suite.close()


if __name__ == "__main__":
    sys.exit(main())
