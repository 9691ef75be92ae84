"""Adds up test cases: of GoogleTest's XML, of "baton-test:" lines, of ctest's own verdicts."""
import os
import re
import xml.etree.ElementTree as ElementTree


class Counts:
    def __init__(self):
        self.passed = 0
        self.failed = []   # names
        self.skipped = []  # "name: reason"

    def passes(self, number=1):
        self.passed += number

    def fails(self, name):
        self.failed.append(name)

    def skips(self, name, reason):
        self.skipped.append(f"{name}: {' '.join((reason or 'no reason given').split())}")

    def closing_line(self):
        return f"{self.passed} passed, {len(self.failed)} failed, {len(self.skipped)} skipped"


def add_ctest(counts, junit_path, results_folder, suffix=""):
    """Adds what one run of ctest did. `suffix` tells runs of several presets apart."""
    for entry in ElementTree.parse(junit_path).getroot().iter("testcase"):
        add_entry(counts, entry, results_folder, suffix)


def add_entry(counts, entry, results_folder, suffix):
    name = entry.get("name")
    status = entry.get("status")  # run, fail, notrun, disabled
    output = entry.findtext("system-out") or ""
    before = len(counts.failed)
    counted = _add_googletest(counts, os.path.join(results_folder, name + ".xml"), suffix) or \
        _add_script(counts, output, name, suffix)
    if status in ("notrun", "disabled"):
        reason = entry.find("skipped")
        message = (reason.get("message") if reason is not None else None) or "not run"
        if "SKIP_RETURN_CODE" in message:
            last = output.strip().splitlines()
            counts.skips(name + suffix, last[-1] if last else "exit status 77")
        elif status == "disabled":
            counts.skips(name + suffix, "disabled in its CMakeLists.txt")
        else:
            counts.fails(f"{name}{suffix} ({message})")
    elif status == "fail" and len(counts.failed) == before:
        # A crash, a timeout or a leak report: no case says so, so the program does.
        reason = entry.find("failure")
        message = (reason.get("message") if reason is not None else "") or "no case reports it"
        counts.fails(f"{name}{suffix} ({message}{_last_words(output)})")
    elif status == "run" and not counted:
        counts.passes()


def _add_googletest(counts, path, suffix):
    if not os.path.exists(path):
        return False
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError:
        return False  # it died while writing; ctest's verdict counts
    for case in root.iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}{suffix}"
        skipped = case.find("skipped")
        if case.find("failure") is not None:
            counts.fails(name)
        elif skipped is not None or case.get("result") == "skipped":
            counts.skips(name, (skipped.get("message") if skipped is not None else "") or "")
        elif case.get("status") == "notrun":
            counts.skips(name, "disabled (DISABLED_ in its name)")
        else:
            counts.passes()
    return True


def _last_words(output):
    """Which GoogleTest case was running when the program ended."""
    started = re.findall(r"^\[ RUN      \] (\S+)", output, re.MULTILINE)
    if started and not re.search(r"^\[ +(OK|FAILED|SKIPPED) +\] " + re.escape(started[-1]), output,
                                 re.MULTILINE):
        return f"; it ended in {started[-1]}"
    return ""


_LINE = re.compile(r"^baton-test: (passed|failed|skipped) (.*)$", re.MULTILINE)


def _add_script(counts, output, name, suffix=""):
    lines = _LINE.findall(output)
    for outcome, text in lines:
        if outcome == "passed":
            counts.passes()
        elif outcome == "failed":
            counts.fails(f"{name}: {text}{suffix}")
        else:
            case, _, reason = text.partition(": ")
            counts.skips(f"{name}: {case}{suffix}", reason)
    return bool(lines)


def add_script(counts, output, name):
    """Adds a script that ran outside ctest; tells whether it printed any line."""
    return _add_script(counts, output, name)
