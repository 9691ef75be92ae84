"""An ext4 on an NBD export: nbdfuse shows the export as a file, the kernel mounts it with a loop
device. An fsync in the filesystem becomes one of that file, which nbdfuse sends as an NBD flush.

All mounts lie in a namespace of the test's own, and the loop device goes with its mount: when the
test's processes end, however they end, nothing remains."""
import ctypes
import os
import pathlib
import re
import threading

import baton_test

CLONE_NEWNS = 0x00020000
PROGRAMS = ("nbdfuse", "mount", "umount", "mkfs.ext4", "e2fsck")
ENGLISH = {**os.environ, "LC_ALL": "C", "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}
# Who waits for a request that is never answered cannot be killed; nbdfuse can, and then it fails.
STUCK_SECONDS = 150


def own_mounts(case):
    """Puts this process and its children into a mount namespace of their own. Skips where FUSE,
    mounts or loop devices are not to be had."""
    if os.geteuid() != 0:
        case.skipTest("mounts and loop devices need root")
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        case.skipTest(f"no FUSE: /dev/fuse: {error.strerror}")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0:
        case.skipTest(f"no mount namespace: {os.strerror(ctypes.get_errno())}")
    private = run(["mount", "--make-rprivate", "/"], check=False)
    if private.returncode != 0:
        case.skipTest(f"no private mounts: {private.stderr}")
    image, place = case.folder / "try.img", case.folder / "try"
    place.mkdir()
    with open(image, "wb") as file:
        file.truncate(4 << 20)
    run(["mkfs.ext4", "-q", image])
    tried = run(["mount", "-t", "ext4", "-o", "loop", image, place], check=False)
    if tried.returncode != 0:
        case.skipTest(f"no ext4 on a loop device: {tried.stderr}")
    run(["umount", place])
    place.rmdir()
    image.unlink()


def run(argv, **options):
    return baton_test.run(argv, env=ENGLISH, **options)


# ext4 keeps these two sums in memory and writes them when it unmounts; after a crash they are wrong
# on any disk, and the kernel counts anew when it mounts. Those of the groups are in the journal.
SUMS = re.compile(r"^Free (blocks|inodes) count wrong \(\d+, counted=\d+\)\.\nFix\? yes\n", re.M)


def fsck_replaying(image):
    """e2fsck after a crash. It may replay the journal, end what was under way there (orphans) and
    make the sums, and must find nothing else to repair. Returns what it said."""
    done = run(["e2fsck", "-fy", image], check=False)
    if done.returncode not in (0, 1) or "? yes" in SUMS.sub("", done.stdout):
        raise baton_test.Failed(f"e2fsck -fy {image} exited with {done.returncode} and found more "
                                f"than a journal to replay\n{done.stdout}{done.stderr}")
    return done.stdout


def fsck_clean(image):
    run(["e2fsck", "-fn", image])


class MountedVolume:
    """One at a time in the folder of `case`, whose tearDown calls abandon() and take_down()."""

    def __init__(self, case):
        self.case = case
        self.export = case.folder / "export"
        self.place = case.folder / "fs"
        self.file = self.export / "disk"
        self.nbdfuse = None
        self._watchdog = None
        self._loop = None
        for folder in (self.export, self.place):
            folder.mkdir()

    def attach(self, uri):
        """The export is a file."""
        self.nbdfuse = self.case.start(["nbdfuse", self.file, uri])
        self._watchdog = threading.Timer(STUCK_SECONDS, self._end_stuck)
        self._watchdog.daemon = True
        self._watchdog.start()
        baton_test.wait_for(self.file.exists, "the export's file", 20, watch=[self.nbdfuse])

    def _end_stuck(self):
        print(f"nbdfuse has run for {STUCK_SECONDS} s: killed, so that nothing hangs", flush=True)
        self.nbdfuse.kill()

    def make(self, block_size):
        # All of it now: nothing is written later that nobody has asked for.
        run(["mkfs.ext4", "-q", "-F", "-b", str(block_size), "-E",
             "lazy_itable_init=0,lazy_journal_init=0", self.file])

    def mount(self):
        self._mount(self.file, "loop")

    def mount_image(self, image):
        """An image itself, read-only."""
        self._mount(image, "loop", "ro")

    def _mount(self, file, *options):
        run(["mount", "-t", "ext4", "-o", ",".join(options), file, self.place])
        device, _ = self._mounted(self.place)
        self._loop = pathlib.Path(device).name

    def unmount(self):
        run(["umount", self.place])
        self._wait_loop_gone()

    def detach(self):
        """Also of a daemon that is gone. Returns nbdfuse's exit status."""
        run(["umount", self.export])
        self._watchdog.cancel()
        return self.nbdfuse.wait()

    def is_writable(self):
        """False also after an error: ext4 stops at one, or counts it."""
        _, options = self._mounted(self.place)
        errors = pathlib.Path(f"/sys/fs/ext4/{self._loop}/errors_count").read_text()
        return "rw" in options.split(",") and int(errors) == 0

    def abandon(self):
        """Whatever has happened: without nbdfuse all that waits for it fails."""
        if self._watchdog:
            self._watchdog.cancel()
        if self.nbdfuse:
            self.nbdfuse.kill()

    def take_down(self):
        """The rest, once those who had files open are gone."""
        for place in (self.place, self.export):
            if self._mounted(place):
                run(["umount", "--lazy", place])
        self._wait_loop_gone()

    def _mounted(self, place):
        """(device, options), or None."""
        for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
            device, where, _, options, *_ = line.split(" ")
            if where == str(place):
                return device, options
        return None

    def _wait_loop_gone(self):
        if self._loop is None:
            return
        backing = pathlib.Path(f"/sys/block/{self._loop}/loop/backing_file")

        def gone():
            try:
                return not backing.read_text().startswith(f"{self.case.folder}/")
            except FileNotFoundError:
                return True

        baton_test.wait_for(gone, f"the end of {self._loop}", 30)
        self._loop = None
