#!/usr/bin/python3
"""Goal: a cluster filesystem works on two Primaries: two guests, each on its node, have the same OCFS2
mounted, and each sees at once what the other one wrote.
Method: two real daemons with allow-two-primaries, two Linux guests with Debian's kernel and ocfs2-tools
and a network between them. Both add to one counter under a lock of the filesystem, and fill one
directory; the link of the daemons is cut and a daemon restarted meanwhile. Each reads back what the
other one wrote, fsck.ocfs2 looks at the rest, and both images end the same."""
import base64
import pathlib
import socket
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
sys.path.insert(0, str(HERE / "guest"))
import baton_test  # noqa: E402
from baton_pair import MIB, PairCase  # noqa: E402
from machine import Machine  # noqa: E402

TURNS = 40  # of each guest

# The cluster takes a guest for dead that has not written its heartbeat for (this - 1) * 2 s; 31 is what
# ocfs2-tools configure.
DEAD_THRESHOLD = 8


class Guest:
    """A machine, and its agent that runs scripts."""

    def __init__(self, machine):
        self.machine = machine
        self.asked = 0
        _ = machine.agent  # what it says while nobody is connected is lost

    def run(self, script, timeout=120):
        """What it printed; its exit status has to be 0."""
        self.asked += 1
        me = str(self.asked)
        self.machine.agent.send(f"{me} {base64.b64encode(script.encode()).decode()}")
        line = self.machine.agent.wait(lambda text: text.startswith(me + " "), timeout,
                                       f"answer to '{script}'")
        _, status, *output = line.text.split(" ")
        output = base64.b64decode("".join(output)).decode(errors="replace")
        if status != "0":
            raise baton_test.Failed(f"{self.machine.name}: '{script}' ended with {status}: {output}")
        return output


@baton_test.requires_programs("qemu-system-x86_64", "setpriv", "mkfs.ocfs2")
class Ocfs2(PairCase):
    size = 512 * MIB
    options = 'secret = "of this test"\nallow-two-primaries = true'
    timeout_seconds = 400

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.image_of_guest = baton_test.BUILD_DIR / "cluster-guest"
        subprocess.run([HERE / "cluster_guest/build-guest", cls.image_of_guest], check=True)

    def setUp(self):
        super().setUp()
        self.use_bad_network()

    def two_guests(self):
        self.begin()
        self.beta.ctl("primary", "vm1")
        self.guests = []
        for node, wire in zip(self.nodes, socket.socketpair()):
            options = f"baton.node={node.name} baton.dead_threshold={DEAD_THRESHOLD}"
            machine = Machine.start(self.folder, node.name, [self.uri(node)], self.image_of_guest,
                                    memory_mib=256, append=options, network=wire)
            self.addCleanup(machine.kill)
            self.guests.append(Guest(machine))
        for guest in self.guests:
            guest.machine.wait_ready()

    def mount_both(self):
        maker, _ = self.guests
        maker.run("mkfs.ocfs2 -q -N 2 --cluster-stack=o2cb --cluster-name=baton /dev/vda")
        for guest in self.guests:
            guest.run("mount.ocfs2 /dev/vda /mnt")
        maker.run("mkdir /mnt/files /mnt/sums && echo 0 >/mnt/counter")

    def counter(self, guest):
        return int(guest.run("flock /mnt/lock cat /mnt/counter"))

    def count(self, first, last):
        for guest in self.guests:
            guest.run(f"count /mnt {first} {last} >/run/count 2>&1 & echo $! >/run/count.pid")

    def wait_counted(self, guest):
        guest.run("while [ -d /proc/$(cat /run/count.pid) ]; do sleep 0.1; done")
        self.assertEqual(guest.run("cat /run/count"), "")

    def look(self, guest, counted):
        """What the other one wrote, from the volume and not from memory."""
        guest.run("sync; echo 3 >/proc/sys/vm/drop_caches")
        self.assertEqual(self.counter(guest), counted)
        numbers = [int(line.split()[0]) for line in guest.run("cat /mnt/log").splitlines()]
        self.assertEqual(numbers, list(range(1, counted + 1)))
        # A sum without its file is one that its guest died over.
        guest.run("cd /mnt/files && for sum in ../sums/*; do"
                  " [ ! -e ${sum##*/} ] || sha256sum -c -s $sum || exit 1; done")
        self.assertEqual(guest.run("dmesg | grep -cE 'I/O error|OCFS2: ERROR|blocked for more' || true"),
                         "0\n")

    def test_two_guests_share_a_filesystem(self):
        self.two_guests()
        self.mount_both()
        first, second = self.guests
        self.count(1, TURNS)
        for turns in (15, 30):
            self.wait_for(lambda: self.counter(first) >= turns, f"{turns} turns", 60)
            self.network.reset()
            self.connect_both()
        self.wait_for(lambda: self.counter(second) >= 45, "45 turns", 60)
        self.end_by_sigkill(self.beta)
        self.beta.start()
        for guest in self.guests:
            self.wait_counted(guest)
        for guest in self.guests:
            self.look(guest, 2 * TURNS)
            self.assertEqual(guest.run("ls /mnt/files | wc -l"), f"{2 * TURNS}\n")

        # The one guest's host goes dark under it, in the middle of a turn or of a file.
        self.count(TURNS + 1, 1000)
        before = self.counter(first)
        self.wait_for(lambda: self.counter(first) >= before + 10, "10 turns more", 60)
        second.machine.kill()
        at_death = self.counter(first)  # waits until the other one's locks are free
        self.wait_for(lambda: self.counter(first) >= at_death + 10, "10 turns alone", 60)
        first.run("kill $(cat /run/count.pid); while [ -d /proc/$(cat /run/count.pid) ]; do sleep 0.1; done")
        self.look(first, self.counter(first))
        first.run("umount /mnt && fsck.ocfs2 -fn /dev/vda")
        first.machine.quit()
        self.beta.ctl("secondary", "vm1", "--force")
        self.stop_and_compare()


if __name__ == "__main__":
    baton_test.main()
