"""A file behind FUSE whose every request fails with EIO, or waits, when a test says so (nbdkit's filters;
the kernel here has no device mapper)."""
import pathlib

import baton_test


class FuseFile:
    """`place` is a FUSE file over `backing`, which has to exist; it lives as long as its test."""

    def __init__(self, case, place, backing, filter_words):
        self.place = pathlib.Path(place)
        self.place.parent.mkdir(exist_ok=True)
        name, *options = filter_words
        self.process = case.start(
            ["nbdfuse", self.place, "[", "nbdkit", f"--filter={name}", "file", backing, *options, "]"],
            name="nbdfuse", cwd=case.folder)
        baton_test.wait_for(self.place.exists, "the FUSE file", watch=[self.process])
        case.addCleanup(baton_test.run, ["umount", "-l", self.place.parent])


class FailingFile(FuseFile):
    """It fails every request from fail() to mend()."""

    def __init__(self, case, place, backing):
        self.inject = pathlib.Path(f"{backing}.inject")
        super().__init__(case, place, backing,
                         ["error", "error=EIO", "error-rate=100%", f"error-file={self.inject}"])

    def fail(self):
        self.inject.touch()

    def mend(self):
        self.inject.unlink()
