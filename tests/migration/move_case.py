"""What the tests of moves under failures share: a pair, a guest in one sector that counts on it, and
QEMUs that are told by QMP what libvirt tells them, or what `batonctl migrate` does."""
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
sys.path.insert(0, str(HERE))
import baton_test  # noqa: E402
from baton_pair import PairCase  # noqa: E402
from sector_guest import Disk, Machine, export_of  # noqa: E402

SLOW = 200_000  # bytes of memory a second: there is time to do something meanwhile
FAST = 1 << 40


@baton_test.requires_programs("qemu-system-x86_64", "setpriv")
class MoveCase(PairCase):
    options = 'secret = "of this test"\nfence-hold = "3s"'
    timeout_seconds = 240

    def config_text(self, **changes):
        text = super().config_text(**changes)
        for name in ("alpha", "beta"):
            text = text.replace(f'disks = ["{name}.img"]', f'disks = ["{name}.img"]\nqmp = "{name}.qmp"')
        return text

    def setUp(self):
        super().setUp()
        self.machines = []
        self.addCleanup(self.end_machines)

    def end_machines(self):
        for machine in self.machines:
            machine.kill()
        self.machines.clear()

    def machine(self, node, incoming=False, reconnect_seconds=0):
        disk = export_of(self.socket_of(node), reconnect_seconds)
        machine = Machine(self.folder, node.name, disk, "defer" if incoming else None)
        self.machines.append(machine)
        return machine

    def boot(self, **options):
        """The pair, and a guest that counts on alpha."""
        self.begin()
        disk = Disk(self.uri(self.alpha))
        disk.install()
        disk.close()
        source = self.machine(self.alpha, **options)
        self.counts_on()
        return source

    def look(self):
        node = next(node for node in self.nodes if node.daemon.is_running())
        disk = Disk(self.uri(node))
        try:
            return disk.count(), disk.foreign_write_seen()
        finally:
            disk.close()

    def counts_on(self):
        """The guest goes on, and nobody else has written."""
        first, _ = self.look()
        self.wait_for(lambda: self.look()[0] > first + 5, "the guest to count on", 60)
        self.assertFalse(self.look()[1], "two guests have written")

    def assert_primary(self, node):
        self.wait_status(node, lambda status, _: status["role"] == "Primary" and
                         status["baton"]["holder"] == node.name, "the role")

    def end(self):
        self.assertFalse(self.look()[1], "two guests have written")
        held = {node.name: node.status()["held-writes"]["longest-ms"]
                for node in self.nodes if node.daemon.is_running()}
        print(f"{self.id().split('.', 1)[1]}: writes were held for at most",
              ", ".join(f"{longest:.1f} ms on {name}" for name, longest in held.items()))
        self.end_machines()
        self.stop_and_compare()

    # --- as libvirt does it ---

    def allow(self, node):
        node.ctl("handover", "vm1", "--allow")

    def ready_to_move(self, **options):
        """A guest that counts on alpha, a window on beta, and a QEMU there that waits."""
        source = self.boot(**options)
        self.allow(self.beta)
        return source, self.machine(self.beta, incoming=True, **options)

    def begin_migration(self, source, destination, bandwidth=FAST):
        uri = f"unix:{self.folder / 'ram'}"
        names = {source: ("events", "pause-before-switchover", "return-path"),
                 destination: ("events", "return-path", "late-block-activate")}
        for machine, capabilities in names.items():
            machine.qmp.execute("migrate-set-capabilities", {"capabilities": [
                {"capability": name, "state": True} for name in capabilities]})
        destination.qmp.execute("migrate-incoming", {"uri": uri})
        source.qmp.execute("migrate-set-parameters", {"max-bandwidth": bandwidth})
        source.qmp.execute("migrate", {"uri": uri})

    def to_the_switch(self, source, destination):
        mark = source.mark()
        self.begin_migration(source, destination)
        source.wait_event("MIGRATION", since=mark, status="pre-switchover")

    def go_on(self, source):
        source.qmp.execute("migrate-continue", {"state": "pre-switchover"})

    def move(self, source, destination):
        self.to_the_switch(source, destination)
        self.go_on(source)
        destination.wait_event("RESUME")

    def stopped_by_its_disk(self, machine, since):
        machine.wait_event("BLOCK_IO_ERROR", 20, since)
        self.wait_for(lambda: machine.status() == "io-error", "the guest to be paused", 20)

    # --- as batonctl does it ---

    def migrate(self, node, *words, status=0):
        """Its figures, or the sentence that it ends with."""
        done = node.ctl("--json", "migrate", "vm1", *words, check=False, timeout=100)
        self.assertEqual(done.returncode, status, done.stderr)
        if status == 0:
            return json.loads(done.stdout)
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        return done.stderr

    def ask(self, *words, node=None):
        """The same, under way."""
        options = (node or self.alpha).options
        return self.start([baton_test.program("batonctl"), *options, "migrate", "vm1", *words],
                          name="migrate", cwd=self.folder)

    def begin_slowly(self, source, *words):
        """A `batonctl migrate` that copies memory until it is told to hurry."""
        source.qmp.execute("migrate-set-parameters", {"max-bandwidth": SLOW})
        mark = source.mark()
        asked = self.ask(*words)
        source.wait_event("MIGRATION", since=mark, status="active")
        return asked
