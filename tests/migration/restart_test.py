#!/usr/bin/python3
"""Goal: a daemon is stopped and started (an upgrade) under a guest with reconnect-delay, and the guest
notices nothing but a pause: no error, no stop, and nothing twice.
Method: two real daemons, a QEMU with a guest of one sector that counts on its disk and stops itself when it
finds what it has not written; SIGTERM and a start, again and again. The pauses are printed. The same under
fio, whose client (libnbd in nbdkit, with its retry filter) connects again.

BATON_RESTARTS says how often (5)."""
import json
import os
import pathlib
import statistics
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
sys.path.insert(0, str(HERE))
import baton_test  # noqa: E402
from baton_pair import MIB, PairCase  # noqa: E402
from sector_guest import Disk, Machine, export_of  # noqa: E402

RESTARTS = int(os.environ.get("BATON_RESTARTS", "5"))


@baton_test.requires_programs("qemu-system-x86_64", "setpriv", "fio", "nbdkit")
class Restart(PairCase):
    size = 4 * MIB

    def start_guest(self):
        disk = Disk(self.uri(self.alpha))
        disk.install()
        disk.close()
        self.machine = Machine(self.folder, "guest", export_of(self.socket_of(self.alpha), 60))
        self.addCleanup(self.machine.kill)
        self.goes_on()

    def count(self):
        disk = Disk(self.uri(self.alpha))
        number = disk.count()
        self.assertFalse(disk.foreign_write_seen(), "the guest found what it has not written")
        disk.close()
        return number

    def goes_on(self):
        before = self.count()
        self.wait_for(lambda: self.count() > before, "the guest to write", 30)
        self.assertEqual(self.machine.status(), "running")

    def restart(self, stop):
        """Seconds from the stop to the guest's next write."""
        before = self.count()
        began = time.monotonic()
        stop()
        self.alpha.start()
        self.wait_for(lambda: self.count() > before + 1, "the guest to write again", 60)
        return time.monotonic() - began

    def many_restarts(self, stop, what):
        self.start_guest()
        pauses = [self.restart(stop) for _ in range(RESTARTS)]
        self.goes_on()
        print(f"{what}: {RESTARTS} times, the guest paused for {statistics.median(pauses):.2f} s "
              f"(median), {max(pauses):.2f} s (longest)", flush=True)
        self.assertEqual(self.alpha.status()["role"], "Primary")
        events = self.machine.qmp.execute("query-block")[0]
        self.assertEqual(events.get("io-status", "ok"), "ok")
        self.machine.kill()
        self.stop_and_compare()

    def test_the_primary_is_stopped_in_order_and_started(self):
        self.begin()
        self.many_restarts(self.alpha.stop, "stopped in order")

    def test_the_primary_is_killed_and_started(self):
        self.begin()
        self.many_restarts(lambda: self.end_by_sigkill(self.alpha), "killed")

    def start_retrying_client(self):
        """nbdkit between fio and the Primary; returns the socket."""
        retrying = self.folder / "retry.sock"
        self.start(["nbdkit", "--foreground", "--unix", retrying, "--filter=retry", "nbd",
                    f"socket={self.socket_of(self.alpha)}", "export=vm1",
                    "retries=120", "retry-delay=1", "retry-exponential=no"], name="nbdkit")
        self.wait_for(lambda: baton_test.accepts(str(retrying)), "nbdkit to listen", 20)
        return retrying

    def test_fio_whose_client_connects_again_sees_no_error(self):
        self.begin()
        retrying = self.start_retrying_client()
        report = self.folder / "fio.json"
        fio = self.start(["fio", "--name=under-restarts", "--ioengine=nbd",
                          f"--uri=nbd+unix:///?socket={retrying}", "--rw=randwrite", "--bs=4k",
                          "--iodepth=16", "--size=4M", "--verify=crc32c", "--verify_backlog=256",
                          "--verify_fatal=1", "--time_based", f"--runtime={4 + 3 * RESTARTS}",
                          "--output-format=json", f"--output={report}"], name="fio")
        restarts = 0
        while restarts < RESTARTS and fio.is_running():
            changed = self.image(self.alpha).stat().st_mtime_ns
            self.wait_for(lambda: self.image(self.alpha).stat().st_mtime_ns > changed,
                          "fio to write", 60)
            self.alpha.stop()
            self.alpha.start()
            restarts += 1
        self.assertEqual(fio.wait(60 + 4 * RESTARTS), 0, fio.log_tail())
        (job,) = json.loads(report.read_text()[report.read_text().index("{"):])["jobs"]
        self.assertEqual(job["error"], 0)
        self.assertEqual(restarts, RESTARTS)
        pause = job["write"]["clat_ns"]["max"] / 1e9
        print(f"fio: {restarts} restarts, {job['write']['total_ios']} writes, no error, the longest "
              f"took {pause:.2f} s", flush=True)
        self.stop_and_compare()

    def test_the_last_one_is_stopped_in_order_and_started(self):
        self.begin()
        self.start_guest()
        self.beta.stop()
        self.wait_disconnected(self.alpha)
        self.restart(self.alpha.stop)
        self.goes_on()
        self.beta.start()
        self.connect_both()
        self.synced()
        self.machine.kill()
        self.stop_and_compare()

    def test_who_was_made_secondary_meanwhile_stays_it(self):
        """The role is the operator's: what was decided while the daemon was away is not undone."""
        self.begin()
        self.start_guest()
        self.alpha.stop()
        self.beta.ctl("primary", "vm1")
        self.alpha.start()
        self.wait_log(self.alpha, "not Primary again: the other node is Primary now")
        self.assertEqual(self.alpha.status()["role"], "Secondary")
        self.assertEqual(self.beta.status()["role"], "Primary")

    def test_nobody_was_attached_so_it_stays_secondary(self):
        self.begin()
        self.alpha.stop()
        self.alpha.start()
        self.connect_both()
        self.synced()
        self.assertEqual(self.alpha.status()["role"], "Secondary")

    def test_who_has_left_a_moment_before_is_not_attached(self):
        self.begin()
        for _ in range(RESTARTS):
            baton_test.run(["qemu-io", "-f", "raw", "-c", "write 0 64k", self.uri(self.alpha)])
            self.alpha.stop()
            self.alpha.start()
            self.connect_both()
            self.synced()
            self.assertNotIn("it was in use", self.alpha.daemon.log())
            self.alpha.ctl("primary", "vm1")

    def test_auto_resume_off_is_kept(self):
        self.write_config(options=self.options + "\nauto-resume = false")
        self.begin()
        self.start_guest()
        self.alpha.stop()
        self.alpha.start()
        self.connect_both()
        self.synced()
        self.assertEqual(self.alpha.status()["role"], "Secondary")


if __name__ == "__main__":
    baton_test.main()
