"""Source files as the rules see them: comments and literals blanked, includes listed.

No C++ parser: the rules are written so that a tokenless view is enough, given that clang-format has
laid the text out (a block's brace follows a space, an initialiser's does not).
"""
import os
import re

PRODUCT = ("base", "blockdev", "replication", "nbd_server", "control")
TESTS = ("tests",)
CPP_ENDINGS = (".cpp", ".h")

_LEXEME = re.compile(
    r"""//[^\n]*                                  # line comment
      | /\*.*?\*/                                 # block comment
      | R"(?P<mark>[^\s()\\"]{0,16})\(.*?\)(?P=mark)"   # raw string
      | "(?:\\.|[^"\\\n])*"                       # string
      | (?<![0-9A-Fa-f])'(?:\\.|[^'\\\n])+'       # character, not a digit separator
    """,
    re.VERBOSE | re.DOTALL,
)
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.MULTILINE)


def blank(text, keep_literals=False):
    """The text with comments (and literals) replaced by spaces; offsets and lines stay."""

    def spaces(match):
        lexeme = match.group(0)
        if keep_literals and not lexeme.startswith(("//", "/*")):
            return lexeme
        if lexeme.startswith(("//", "/*")):
            return re.sub(r"[^\n]", " ", lexeme)
        return lexeme[0] + re.sub(r"[^\n]", " ", lexeme[1:-1]) + lexeme[-1]

    return _LEXEME.sub(spaces, text)


class Source:
    """One file: `path` is relative to the root of the tree."""

    def __init__(self, path, text):
        self.path = path
        self.text = text
        self.top = path.split("/", 1)[0]
        self.is_cpp = path.endswith(CPP_ENDINGS)
        self.code = blank(text) if self.is_cpp else text
        self.line_count = text.count("\n")
        # (line, is quoted, name)
        self.includes = []
        if self.is_cpp:
            for match in _INCLUDE.finditer(blank(text, keep_literals=True)):
                self.includes.append((self.line_at(match.start(1)), match[1] == '"', match[2]))

    def line_at(self, offset):
        return self.text.count("\n", 0, offset) + 1

    def under(self, *folders):
        return any(self.path.startswith(folder + "/") for folder in folders)


def read_tree(root):
    """Every file the rules look at, by path."""
    sources = {}
    for top in PRODUCT + TESTS + ("scripts", "fio_jobs"):
        for folder, folders, names in os.walk(os.path.join(root, top)):
            folders[:] = sorted(f for f in folders if f not in ("build", "__pycache__"))
            for name in sorted(names):
                full = os.path.join(folder, name)
                path = os.path.relpath(full, root)
                if name.endswith(CPP_ENDINGS + (".py",)) or _is_script(full):
                    with open(full, encoding="utf-8") as file:
                        sources[path] = Source(path, file.read())
    return sources


def _is_script(full):
    if "." in os.path.basename(full) or not os.path.isfile(full):
        return False
    with open(full, "rb") as file:
        return file.read(2) == b"#!"
