"""Checks of the text of the sources: layout and syntax."""
import os
import subprocess

from commands import run


def source_files(root):
    """What is in the tree or about to be, not what .gitignore names; without git, what lies there."""
    done = subprocess.run(["git", "-C", root, "-c", f"safe.directory={root}", "ls-files", "--cached",
                           "--others", "--exclude-standard"], capture_output=True, text=True)
    if done.returncode == 0:
        names = set(done.stdout.splitlines())
    else:
        names = set()
        for folder, folders, files in os.walk(root):
            folders[:] = [name for name in folders if name not in ("build", ".git", "__pycache__")]
            names.update(os.path.relpath(os.path.join(folder, name), root) for name in files)
    return sorted(name for name in names if os.path.isfile(os.path.join(root, name)))


def format_problem(root, files):
    sources = [name for name in files if name.endswith((".cpp", ".h"))]
    if not sources:
        return None
    done = run(["clang-format-19", "--dry-run", "--Werror", *sources], 120, root)
    return None if done.ok else done.output + "\nput right by: clang-format-19 -i FILE\n"


def script_problems(root, files):
    """Every shell and Python script can at least be read by its interpreter."""
    problems = []
    shell = []
    for name in files:
        with open(os.path.join(root, name), "rb") as file:
            first = file.readline(200)
        if name.endswith(".py") or (first.startswith(b"#!") and b"python" in first):
            try:
                with open(os.path.join(root, name), "rb") as file:
                    compile(file.read(), name, "exec")
            except (SyntaxError, ValueError) as error:
                problems.append(f"{name}: {error}")
        elif name.endswith(".sh") or (first.startswith(b"#!") and first.split()[0].endswith(b"sh")):
            shell.append(name)
        if first.startswith(b"#!") and not os.access(os.path.join(root, name), os.X_OK):
            problems.append(f"{name}: begins with #! but is not executable (chmod +x)")
    if shell:
        done = run(["shellcheck", "--severity=warning", "--external-sources", *shell], 120, root)
        if not done.ok:
            problems.append(done.output)
    return problems
