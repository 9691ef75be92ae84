#!/usr/bin/python3
"""Goal: two guests on two nodes share a volume that both write, and take turns by locks that lie in its
blocks: where either were shown an old block once, they would be in it together and count too little.
Method: two real daemons with allow-two-primaries, two QEMUs with a guest of one sector each that counts
behind Peterson's lock (turns_sector.hex); the link is cut and a daemon restarted meanwhile."""
import pathlib
import struct
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
sys.path.insert(0, str(HERE))
import baton_test  # noqa: E402
from baton_pair import MIB, PairCase  # noqa: E402
from sector_guest import Machine, SECTOR, boot_sector, export_of, nbd  # noqa: E402

TURNS = 300  # of each
COUNTER, DONE = 4, (5, 6)


@baton_test.requires_programs("qemu-system-x86_64", "setpriv")
class SharedDisk(PairCase):
    size = 4 * MIB
    options = 'secret = "of this test"\nallow-two-primaries = true'

    def boot_file(self, me):
        sector = bytearray(boot_sector(HERE / "turns_sector.hex"))
        sector[3] = me
        sector[4:6] = struct.pack("<H", TURNS)
        place = self.path(f"boot-{me}.img")
        place.write_bytes(bytes(sector).ljust(MIB, b"\0"))
        return place

    def two_guests(self, reconnect_seconds=0):
        self.begin()
        self.beta.ctl("primary", "vm1")
        self.machines = []
        for me, node in enumerate(self.nodes):
            machine = Machine(self.folder, node.name,
                              export_of(self.socket_of(node), reconnect_seconds),
                              boot_file=self.boot_file(me))
            self.addCleanup(machine.kill)
            self.machines.append(machine)

    def look(self, *sectors):
        disk = nbd.NBD()
        disk.connect_uri(self.uri(self.alpha))
        seen = [struct.unpack("<I", disk.pread(4, SECTOR * sector))[0] for sector in sectors]
        disk.shutdown()
        return seen

    def count_to(self, number):
        self.wait_for(lambda: self.look(COUNTER)[0] >= number, f"{number} turns", 60)

    def both_take_all_turns(self):
        self.wait_for(lambda: self.look(*DONE) == [1, 1], "both guests to be done", 120)
        self.assertEqual(self.look(COUNTER), [2 * TURNS])
        for machine in self.machines:
            self.assertEqual(machine.status(), "running")
            machine.kill()
        self.beta.ctl("secondary", "vm1", "--force")
        self.stop_and_compare()

    def test_they_take_turns(self):
        self.two_guests()
        self.both_take_all_turns()

    def test_while_the_link_is_lost_and_comes_back(self):
        self.use_bad_network()
        self.two_guests()
        for turns in (50, 150, 250):
            self.count_to(turns)
            self.network.reset()
            self.connect_both()
        self.both_take_all_turns()

    def test_while_the_node_without_the_baton_is_restarted(self):
        self.two_guests(reconnect_seconds=60)
        self.count_to(100)
        self.end_by_sigkill(self.beta)
        self.beta.start()
        self.both_take_all_turns()


if __name__ == "__main__":
    baton_test.main()
