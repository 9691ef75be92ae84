"""clang-tidy on what changed, two files at a time, within a budget.

A translation unit takes 5 to 24 s, so the whole tree is looked at only when asked for. What passed is
remembered by a hash of everything it was made from, in the build folder: looking again costs nothing.
"""
import concurrent.futures
import hashlib
import json
import os
import re
import shlex
import subprocess
import time

from commands import run

TIDY = "clang-tidy-19"
FILE_LIMIT_SECONDS = 240


def changed_files(root):
    """What differs from the branch this one left, or from the commit before on that branch itself."""
    def git(*words):
        done = subprocess.run(["git", "-C", root, "-c", f"safe.directory={root}", *words], capture_output=True, text=True)
        return done.stdout.split("\n") if done.returncode == 0 else None

    head = git("rev-parse", "HEAD")
    if head is None:
        return None
    base = None
    for branch in ("origin/main", "main"):
        found = git("merge-base", "HEAD", branch)
        if found and found[0] != head[0]:
            base = found[0]
            break
    base = base or (git("rev-parse", "--verify", "--quiet", "HEAD~1") or [None])[0]
    if not base:
        return None  # a first or a shallow commit
    names = git("diff", "--name-only", "--diff-filter=d", base) or []
    names += git("ls-files", "--others", "--exclude-standard") or []
    return sorted({name for name in names if name.endswith((".cpp", ".h"))})


class Units:
    """The translation units of a build folder, by their path under the root."""

    def __init__(self, root, build):
        self.root = root
        self.build = build
        self.commands = {}
        with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
            for entry in json.load(file):
                path = os.path.relpath(entry["file"], root)
                if not path.startswith((".", os.path.relpath(build, root))):
                    self.commands[path] = entry
        self._made_from = None

    def of(self, changed):
        """The units that show the changed files; a header is shown by the unit of its name, or else
        by the smallest that includes it."""
        chosen, unseen = set(), []
        for path in changed:
            if path in self.commands:
                chosen.add(path)
            elif path.endswith(".h"):
                unit = self._unit_of_header(path)
                if unit:
                    chosen.add(unit)
                else:
                    unseen.append(path)
            else:
                unseen.append(path)
        return sorted(chosen), unseen

    def _unit_of_header(self, header):
        twin = header[:-2] + ".cpp"
        if twin in self.commands:
            return twin
        users = [path for path in self.commands if header in self.made_from(path)]
        return min(users, key=lambda path: len(self.made_from(path)), default=None)

    def made_from(self, path):
        """Our own files that went into a unit, as the compiler told ninja."""
        if self._made_from is None:
            self._made_from = self._read_ninja()
        words = shlex.split(self.commands[path]["command"])
        return self._made_from.get(words[words.index("-o") + 1], [path])

    def _read_ninja(self):
        done = subprocess.run(["ninja", "-C", self.build, "-t", "deps"], capture_output=True, text=True)
        made_from, current = {}, None
        for line in done.stdout.splitlines():
            head = re.match(r"(\S.*?): #deps", line)
            if head:
                current = made_from.setdefault(head[1], [])
            elif line.startswith("    ") and current is not None:
                path = os.path.relpath(os.path.join(self.build, line.strip()), self.root)
                if not path.startswith((".", os.path.relpath(self.build, self.root))):
                    current.append(path)
        return made_from

    def fingerprint(self, path):
        digest = hashlib.sha256(self.commands[path]["command"].encode())
        for name in sorted({".clang-tidy", path, *self.made_from(path)}):
            full = os.path.join(self.root, name)
            if os.path.exists(full):
                with open(full, "rb") as file:
                    digest.update(name.encode() + b"\0" + file.read())
        return digest.hexdigest()


def check(root, build, budget_seconds, parallel, everything=False):
    """Returns (problems: list of text, looked: number, left: list of paths that the budget left out,
    unseen: changed files that no unit of this build shows)."""
    units = Units(root, build)
    changed = None if everything else changed_files(root)
    if changed is None:
        chosen, unseen = sorted(units.commands), []
    else:
        chosen, unseen = units.of(changed)
    known = os.path.join(build, "tidy")
    os.makedirs(known, exist_ok=True)
    deadline = time.monotonic() + budget_seconds if not everything else None

    def look(path):
        mark = os.path.join(known, units.fingerprint(path))
        if os.path.exists(mark):
            return path, None, True
        if deadline and time.monotonic() > deadline:
            return path, None, False
        done = run([TIDY, "-p", build, "--quiet", path], FILE_LIMIT_SECONDS, root)
        if done.ok:
            open(mark, "w").close()
            return path, None, True
        ended = "took too long" if done.status is None else f"exit status {done.status}"
        text = "\n".join(line for line in done.output.splitlines() if "warnings generated" not in line)
        return path, f"clang-tidy {path}: {ended}\n{text}", True

    if chosen:
        units.made_from(chosen[0])  # read once, before the threads ask
    with concurrent.futures.ThreadPoolExecutor(parallel) as pool:
        results = list(pool.map(look, chosen))
    problems = [problem for _, problem, _ in results if problem]
    left = [path for path, _, looked in results if not looked]
    return problems, len(chosen) - len(left), left, unseen
