#!/usr/bin/python3
"""Goal: an unmodified libvirt migrates a guest between two nodes and the right to write goes along;
where libvirt starts the guest twice, as it can, one of them is paused before it writes.
Method: two libvirtds and two batonds on hosts made of namespaces, the hook and the listener of
packaging/, a guest that checks what it reads, its console on both hosts, and both images at the end."""
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
sys.path.insert(0, str(HERE))
import baton_test  # noqa: E402
import libvirt_hosts  # noqa: E402

PAUSED_BY_STORAGE = r"paused \(I/O error\)"


@baton_test.requires_root("making hosts out of namespaces")
@baton_test.requires_programs(*libvirt_hosts.PROGRAMS)
class LibvirtCase(baton_test.TestCase):
    timeout_seconds = 300
    listeners = False

    def setUp(self):
        super().setUp()
        baton_test.program("batond")  # skips where it is not built
        if self.listeners:
            libvirt_hosts.require_python_libvirt()
        self.hosts = libvirt_hosts.Hosts(self)
        self.alpha, self.beta = self.hosts.both
        self.hosts.begin(self.listeners)
        self.hosts.start_guest(self.alpha)

    def assert_writes(self, host):
        """The guest's writes are admitted on this host, and Baton agrees that they should be."""
        host.wait_stamps()
        self.wait_for(lambda: [each.status()["role"] for each in (host, self.hosts.other(host))]
                      == ["Primary", "Secondary"], f"{host.name} to be Primary")

    def end(self):
        newest = max(host.stamp() for host in self.hosts.both)
        self.hosts.end()
        for host in self.hosts.both:
            self.assertNotRegex(host.said(), "MISMATCH|ERROR|no disk")
            self.assertGreaterEqual(libvirt_hosts.newest_stamp_of(host.image), newest)


class Migrate(LibvirtCase):
    listeners = True

    def test_a_guest_moves_as_virsh_moves_it(self):
        here = self.alpha
        for options in ([], [], [], [], ["--p2p"], ["--p2p"]):
            here = self.hosts.migrate(here, *options)
            self.assert_writes(here)
        self.end()

    def test_a_guest_that_stays_suspended_until_it_is_resumed(self):
        self.hosts.migrate(self.alpha, "--suspend")
        self.beta.wait_state(r"paused \(user\)")
        self.assertTrue(self.beta.status()["baton"]["window"], "nobody has written yet")
        self.beta.virsh("resume", "vm1")
        self.assert_writes(self.beta)
        self.end()

    def test_a_guest_whose_memory_follows_it(self):
        # So slow that the source is attached for seconds while the destination writes.
        migration = self.start(self.alpha.migration_to(
            self.beta.uri, "--postcopy", "--bandwidth", "4", "--postcopy-bandwidth", "8"), "virsh")
        self.wait_for(self.alpha.memory_is_copied, "memory to be copied", 30)
        self.alpha.virsh("migrate-postcopy", "vm1")
        self.beta.wait_stamps(timeout=60)
        self.assertEqual(migration.wait(60), 0, migration.log())
        self.assert_writes(self.beta)
        self.end()


class MigrateWithoutListener(LibvirtCase):
    def test_a_guest_moves_there_and_back(self):
        here = self.alpha
        for options in ([], [], ["--p2p"], ["--p2p"]):
            here = self.hosts.migrate(here, *options)
            self.assert_writes(here)
        self.end()

    def test_a_node_that_is_not_connected_refuses_a_migration(self):
        self.alpha.ctl("disconnect", "vm1")
        done = baton_test.run(self.alpha.migration_to(self.beta.uri), check=1)
        self.assertRegex(done.stderr, "vm1 is not connected to alpha")
        self.assertEqual(self.beta.state(), "")
        self.assertEqual(self.alpha.state(), "running (booted)")
        self.alpha.wait_stamps()
        self.alpha.ctl("connect", "vm1")
        self.beta.ctl("wait-sync", "vm1", "--timeout", "60")
        self.hosts.migrate(self.alpha)
        self.assert_writes(self.beta)
        self.end()

    def test_a_guest_that_is_started_twice_writes_once(self):
        self.hosts.create(self.beta)  # no migration: an operator's mistake
        self.beta.wait_state(PAUSED_BY_STORAGE)
        self.assert_writes(self.alpha)
        self.end()


class StartedTwiceByLibvirt:
    """libvirt resumes the source after a Finish that it believes to have failed, and the destination
    runs all the same."""

    def migrate_and_lose(self, what, *options):
        """The Finish ("request"), or its answer; returned with libvirt's client still waiting for it."""
        lost = libvirt_hosts.FinishLost(self, self.alpha, self.beta, what)
        self.migration = self.start(self.alpha.migration_to(lost.uri, *options), "virsh")
        self.wait_for(lost.reached.is_set, f"the Finish {what}", 60)
        self.alpha.wait_qemu_has_let_go()
        return lost

    def tell_to_finish_too_late(self, *options):
        lost = self.migrate_and_lose("request", *options)
        lost.cut()
        self.alpha.wait_stamps()
        lost.deliver()
        self.assert_one_goes_on(self.alpha)

    def assert_one_goes_on(self, host):
        self.assertNotEqual(self.migration.wait(60), 0)
        self.hosts.other(host).wait_state(PAUSED_BY_STORAGE, 60)
        self.assert_writes(host)
        self.assertRegex(host.state(), "^running")
        self.end()

    def test_the_destination_is_told_to_finish_after_the_source_has_gone_on(self):
        self.tell_to_finish_too_late()

    def test_the_same_from_peer_to_peer(self):
        self.tell_to_finish_too_late("--p2p")

    def test_the_source_goes_on_before_the_destination_has_written(self):
        """7 ms after its Finish was answered; a guest's first write comes later than that. Should it
        come sooner, the other one is paused."""
        self.migrate_and_lose("reply").cut()
        self.assertNotEqual(self.migration.wait(60), 0)
        self.wait_for(lambda: any(re.fullmatch(PAUSED_BY_STORAGE, host.state())
                                  for host in self.hosts.both), "one guest to be paused", 60)
        paused = next(host for host in self.hosts.both
                      if re.fullmatch(PAUSED_BY_STORAGE, host.state()))
        self.assert_one_goes_on(self.hosts.other(paused))

    def test_the_source_goes_on_after_the_destination_has_written(self):
        lost = self.migrate_and_lose("reply")
        self.beta.wait_stamps()
        lost.cut()
        self.assert_one_goes_on(self.beta)


class StartedTwice(StartedTwiceByLibvirt, LibvirtCase):
    listeners = True


class StartedTwiceWithoutListener(StartedTwiceByLibvirt, LibvirtCase):
    pass


if __name__ == "__main__":
    baton_test.main()
