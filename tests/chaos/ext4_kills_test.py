#!/usr/bin/python3
"""Goal: a filesystem on the device keeps its promise when daemons are killed: what fsync has
returned for is there afterwards, on whichever node goes on, and the filesystem is whole.
Method: ext4 on a loop device on nbdfuse on the Primary, and two writers in it that print what is
durable. Round after round daemons are killed or frozen; after a loss of the Primary the filesystem
is taken up on the node that goes on: e2fsck may replay the journal, and must find nothing else.

BATON_EXT4_ROUNDS says how many rounds (6: each event once), BATON_EXT4_SEED which (at random; it is
printed)."""
import os
import pathlib
import random
import re
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import baton_test  # noqa: E402
import durable_files  # noqa: E402
import mounted_volume  # noqa: E402
from baton_node import NodeCase  # noqa: E402
from baton_pair import MIB, PairCase  # noqa: E402

ROUNDS = int(os.environ.get("BATON_EXT4_ROUNDS", "6"))
SEED = int(os.environ.get("BATON_EXT4_SEED", random.SystemRandom().randrange(1 << 32)))
# The link has been silent for so long when the Primary is killed: less than `timeout`, at which it
# would go on alone.
SILENT_SECONDS = 0.4


class FlushesPassed(NodeCase):
    """Without this, fsync would promise nothing, and the rounds would show nothing."""

    def setUp(self):
        super().setUp()
        mounted_volume.own_mounts(self)
        self.volume = mounted_volume.MountedVolume(self)

    def tearDown(self):
        self.volume.abandon()
        self.volume.take_down()

    @baton_test.requires_programs(*mounted_volume.PROGRAMS, "nbdkit")
    def test_an_fsync_returns_after_a_flush_that_came_after_its_data(self):
        self.node.ctl("create-md", "vm1")
        self.node.start()
        log = self.path("requests.log")
        socket = self.path("log.sock")
        nbdkit = self.start(["nbdkit", "--foreground", "--unix", socket, "--filter=log", "nbd",
                             f"uri={self.uri('vm1')}", f"logfile={log}"])
        baton_test.wait_for(lambda: socket.exists() and baton_test.accepts(socket), "nbdkit",
                            watch=[nbdkit])
        self.volume.attach(f"nbd+unix:///?socket={socket}")
        self.volume.make(4096)
        self.volume.mount()
        baton_test.run(["sync", "--file-system", self.volume.place])
        start = len(log.read_text())
        file = os.open(self.volume.place / "file", os.O_CREAT | os.O_WRONLY)
        try:
            os.write(file, durable_files.content(1, MIB))
            os.fsync(file)
            requests = log.read_text()[start:]
        finally:
            os.close(file)
        counts = re.findall(r" Write id=\d+ .*?count=(0x\w+)", requests)
        self.assertGreaterEqual(sum(int(count, 16) for count in counts), MIB, requests)
        last_write = requests.rindex("...Write ")
        flush = re.search(r"(connection=\d+) Flush (id=\d+) \.\.\.$", requests[last_write:], re.M)
        self.assertIsNotNone(flush, f"a flush after the last write\n{requests}")
        self.assertIn(f"{flush[1]} ...Flush {flush[2]} return=0", requests[last_write:])
        self.volume.unmount()
        self.assertEqual(self.volume.detach(), 0, self.volume.nbdfuse.log_tail())


class Writer:
    """Writes in one folder of the filesystem; its record outlives its processes."""

    def __init__(self, case, name, seed):
        self.case = case
        self.name = name
        self.seed = seed
        self.folder = case.volume.place / name
        self.record = durable_files.FileRecord()
        self.process = None

    def start(self):
        script = pathlib.Path(durable_files.__file__)
        self.process = self.case.start([sys.executable, "-B", script, self.folder, self.seed,
                                        self.record.first], name=f"writer-{self.name}")

    def durable(self):
        return len(re.findall(r"^durable ", self.process.log(), re.M))

    def wait_durable(self, more, timeout=45):
        goal = self.durable() + more
        baton_test.wait_for(lambda: self.durable() >= goal,
                            f"operation {goal} of {self.process.name}", timeout,
                            watch=[self.process])

    def end(self):
        self.case.assertEqual(self.process.stop(30), 0, self.process.log_tail())
        self.case.assertRegex(self.process.log(), r"ended\n\Z")
        self.record.hear(self.process.log())

    def wait_failed(self):
        """Its device is gone, and it is told so."""
        self.case.assertEqual(self.process.wait(45), 0, self.process.log_tail())
        self.case.assertRegex(self.process.log(), r"failed \d+ \w+\n\Z")
        self.record.hear(self.process.log())


class Ext4Kills(PairCase):
    size = 64 * MIB
    options = 'secret = "of this test"\ntimeout = "3s"\nping-int = "500ms"'
    timeout_seconds = 120 + 60 * ROUNDS

    def setUp(self):
        self.random = random.Random(SEED)
        self.protocol = self.random.choice("BC")
        super().setUp()
        mounted_volume.own_mounts(self)
        self.use_bad_network()
        self.primary = self.alpha
        self.volume = mounted_volume.MountedVolume(self)
        self.writers = [Writer(self, name, self.random.randrange(1 << 32))
                        for name in ("one", "two")]

    def tearDown(self):
        self.volume.abandon()
        for writer in self.writers:
            if writer.process:
                writer.process.kill()
        self.volume.take_down()

    def secondary(self):
        return self.other(self.primary)

    # --- what happens ---

    def kill_primary(self):
        self.end_by_sigkill(self.primary)
        self.lose_mount()
        self.fail_over()

    def kill_primary_behind_a_silent_link(self):
        """What it has answered since the link went silent, the other node does not have."""
        begun = len(self.primary.daemon.log())
        self.network.silence("alpha", "beta")
        deadline = time.monotonic() + SILENT_SECONDS
        baton_test.wait_for(lambda: time.monotonic() >= deadline, "the silence to have lasted",
                            watch=[self.primary.daemon])
        self.end_by_sigkill(self.primary)
        self.lose_mount()
        if re.search(r"session with \w+ ended", self.primary.daemon.log()[begun:]):
            print("killed too late: it had gone on alone", flush=True)
            self.come_back()
        else:
            self.fail_over()

    def kill_both(self):
        """The Primary comes back as such."""
        self.kill_at_once()
        self.lose_mount()
        for node in self.random.sample(self.nodes, 2):
            node.spawn()
        for node in self.nodes:
            node.daemon.wait_for_line(r" ready: ", 20)
        self.wait_primary(self.primary)
        self.take_up()

    def kill_both_and_fail_over(self):
        self.kill_at_once()
        self.lose_mount()
        self.secondary().start()
        self.fail_over()

    def kill_secondary(self):
        self.end_by_sigkill(self.secondary())
        self.go_on(self.some())
        self.secondary().start()
        self.look_at_the_mount()

    def freeze_secondary(self):
        self.secondary().daemon.send_signal(signal.SIGSTOP)
        self.wait_disconnected(self.primary)
        self.go_on(self.some())
        self.secondary().daemon.send_signal(signal.SIGCONT)
        self.look_at_the_mount()

    EVENTS = (kill_primary, kill_primary_behind_a_silent_link, kill_both, kill_both_and_fail_over,
              kill_secondary, freeze_secondary)

    def events(self):
        """Each once, in any order, then again."""
        while True:
            yield from self.random.sample(self.EVENTS, len(self.EVENTS))

    # --- the filesystem ---

    def some(self):
        return self.random.randrange(1, 16)

    def go_on(self, more):
        for writer in self.writers:
            writer.wait_durable(more)

    def write(self):
        for writer in self.writers:
            writer.start()
        self.go_on(self.some())

    def make_filesystem(self):
        block_size = self.random.choice((durable_files.BLOCK, 4096))
        print(f"protocol {self.protocol}, blocks of {block_size} bytes", flush=True)
        self.volume.attach(self.uri(self.primary))
        self.volume.make(block_size)
        self.volume.mount()
        for writer in self.writers:
            writer.folder.mkdir()
        baton_test.run(["sync", "--file-system", self.volume.place])
        self.write()

    def lose_mount(self):
        """The device under it is gone."""
        for writer in self.writers:
            writer.wait_failed()
        self.volume.unmount()
        self.volume.detach()

    def take_up(self):
        """A filesystem that nobody has unmounted, on the present Primary."""
        self.volume.attach(self.uri(self.primary))
        self.assertIn("recovering journal", mounted_volume.fsck_replaying(self.volume.file))
        self.mount_clean()
        self.write()

    def mount_clean(self):
        mounted_volume.fsck_clean(self.volume.file)
        self.volume.mount()
        self.check_files(self.primary.name)

    def look_at_the_mount(self):
        """It has seen no error, and what it has left on the device is whole."""
        self.all_well(self.primary)
        for writer in self.writers:
            writer.end()
        self.assertTrue(self.volume.is_writable())
        self.volume.unmount()
        self.mount_clean()
        self.write()

    def check_files(self, where):
        self.assertEqual(sorted(os.listdir(self.volume.place)),
                         sorted(["lost+found", *(writer.name for writer in self.writers)]))
        self.assertEqual(os.listdir(self.volume.place / "lost+found"), [])
        for writer in self.writers:
            wrong = writer.record.check(writer.folder)
            self.assertFalse(wrong, "\n".join([f"{writer.folder} of {where}:", *wrong]))

    # --- the nodes ---

    def kill_at_once(self):
        for node in self.random.sample(self.nodes, 2):
            node.daemon.send_signal(signal.SIGKILL)
        for node in self.nodes:
            node.daemon.wait()

    def fail_over(self):
        """The survivor is promoted, by force alone: it cannot know that the other one is dead."""
        self.wait_disconnected(self.secondary())
        self.assertIn("--force", self.secondary().refuses("primary", "vm1"))
        self.secondary().ctl("primary", "vm1", "--force", "--yes")
        self.primary = self.secondary()
        self.take_up()

    def come_back(self):
        self.network.heal()
        self.primary.start()
        self.wait_primary(self.primary)
        self.take_up()

    @baton_test.requires_programs(*mounted_volume.PROGRAMS)
    def test_the_filesystem_is_whole_and_nothing_durable_is_lost(self):
        print(f"BATON_EXT4_SEED={SEED} BATON_EXT4_ROUNDS={ROUNDS}", flush=True)
        self.begin()
        self.make_filesystem()
        happened = {}
        for number, event in zip(range(ROUNDS), self.events()):
            print(f"round {number}: {event.__name__}, {self.primary.name} is Primary", flush=True)
            happened[event.__name__] = happened.get(event.__name__, 0) + 1
            event(self)
            self.go_on(self.some())
            self.all_well(self.primary)
            self.assertTrue(self.volume.is_writable())
        for writer in self.writers:
            writer.end()
        self.volume.unmount()
        self.assertEqual(self.volume.detach(), 0, self.volume.nbdfuse.log_tail())
        self.stop_and_compare()
        for node in self.nodes:
            mounted_volume.fsck_clean(self.image(node))
            self.volume.mount_image(self.image(node))
            self.check_files(f"{node.name}'s image")
            self.volume.unmount()
        events = ", ".join(f"{count} {name}" for name, count in sorted(happened.items()))
        durable = sum(writer.record.durable for writer in self.writers)
        print(f"{durable} durable operations; {events}", flush=True)


if __name__ == "__main__":
    baton_test.main()
