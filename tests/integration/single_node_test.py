#!/usr/bin/python3
"""Goal: batond and batonctl are whole for a resource with one node: data comes back as it was
written, a stop is clean, and every wrong input is answered with one sentence and an exit code.
Method: real daemons and the clients that people use: nbdinfo, nbdcopy, qemu-io, fio."""
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import baton_test  # noqa: E402
from baton_node import Node, NodeCase, SINGLE_NODE_CONFIG as CONFIG  # noqa: E402

MIB = 1 << 20


class Serving(NodeCase):
    def setUp(self):
        super().setUp()
        self.node.ctl("create-md", "vm1")

    def test_status_is_primary_and_up_to_date_at_once(self):
        self.node.start()
        status = self.node.status()
        self.assertEqual(status["name"], "vm1")
        self.assertEqual(status["role"], "Primary")
        self.assertEqual(status["devices"],
                         [{"volume": 0, "disk-state": "UpToDate", "size": 64 * 1024,
                           "activity-log": {"hits": 0, "misses": 0, "stalls": 0}}])
        self.assertEqual(status["connections"], [])
        self.assertEqual(status["baton"]["holder"], "solo")
        self.assertEqual(status["held-writes"]["count"], 0)
        text = self.node.ctl("status").stdout
        self.assertRegex(text, r"^vm1  Primary  \(baton: solo, epoch \d+\)\n"
                               r"  volume 0  UpToDate      64 MiB\n$")

    def test_a_migration_to_a_node_that_is_no_more_is_told_of_and_forgotten(self):
        self.node.start()
        self.node.stop()
        mark = self.node.run_dir / "vm1.migrating"
        mark.write_text("gamma")
        self.node.start()
        baton_test.wait_for(lambda: not mark.exists(), "the end of the mark")
        self.assertRegex(self.node.daemon.log(), "migrating its guest to gamma, which is not in the configuration")

    @baton_test.requires_programs("qemu-io")
    def test_status_counts_what_the_activity_log_was_asked_for(self):
        self.node.start()
        # Two regions of 4 MiB, the first one three times.
        baton_test.run(["qemu-io", "-f", "raw", self.uri("vm1"), "-c", "write 0 4k", "-c",
                        "write 8k 4k", "-c", "write 1M 4k", "-c", "write 8M 4k"])
        self.assertEqual(self.node.status()["devices"][0]["activity-log"],
                         {"hits": 2, "misses": 2, "stalls": 0})

    @baton_test.requires_programs("nbdinfo")
    def test_nbdinfo_shows_the_export_under_its_name_and_as_the_default(self):
        self.node.start()
        for export in ("vm1", ""):
            shown = json.loads(baton_test.run(["nbdinfo", "--json", self.uri(export)]).stdout)
            (described,) = shown["exports"]
            self.assertEqual(described["export-name"], "vm1")
            self.assertEqual(described["export-size"], 64 * MIB)
            self.assertFalse(described["is_read_only"])
            self.assertTrue(described["can_multi_conn"])
            self.assertTrue(described["can_fua"])
        baton_test.run(["nbdinfo", self.uri("vm2")], check=1)

    @baton_test.requires_programs("qemu-io")
    def test_what_qemu_io_wrote_is_there_after_a_stop_and_a_start(self):
        self.node.start()
        qemu_io = ["qemu-io", "-f", "raw", self.uri("vm1")]
        baton_test.run([*qemu_io, "-c", "write -P 0xab 1M 128k", "-c", "write -P 0xcd 4097 513",
                        "-c", "write -z 2M 64k", "-c", "flush"])
        self.node.stop()
        self.assertFalse(self.path("vm1.sock").exists(), "the socket file goes with the daemon")
        self.node.start()
        done = baton_test.run([*qemu_io, "-c", "read -P 0xab 1M 128k", "-c", "read -P 0xcd 4097 513",
                               "-c", "read -P 0 2M 64k", "-c", "read -P 0 4096 1"])
        self.assertNotIn("verification failed", done.stdout)
        self.node.stop()

    @baton_test.requires_programs("nbdcopy")
    def test_nbdcopy_brings_an_image_in_and_out_unchanged(self):
        self.node.start()
        source = self.path("source.raw")
        chance = random.Random(7)
        with open(source, "wb") as out:
            for _ in range(16):
                out.seek(chance.randrange(63) * MIB + chance.randrange(MIB // 512) * 512)
                out.write(chance.randbytes(200_000))
            out.truncate(64 * MIB)
        baton_test.run(["nbdcopy", "--flush", source, self.uri("vm1")])
        back = self.path("back.raw")
        baton_test.run(["nbdcopy", self.uri("vm1"), back])
        self.assertEqual(source.read_bytes(), back.read_bytes())
        self.node.stop()
        self.assertEqual(source.read_bytes(), self.path("vm1.img").read_bytes(), "the raw image")

    @baton_test.requires_programs("fio")
    def test_fio_verifies_every_block_it_wrote(self):
        self.node.start()
        for size in ("512", "4k", "64k", "1M"):
            with self.subTest(bs=size):
                baton_test.run(
                    ["fio", "--name=verify", "--ioengine=nbd", f"--uri={self.uri('vm1')}",
                     "--rw=randwrite", f"--bs={size}", "--iodepth=16", "--size=16M",
                     f"--io_size={'2M' if size == '512' else '16M'}", "--verify=xxhash",
                     "--do_verify=1", "--verify_state_save=0", "--verify_fatal=1"],
                    cwd=self.folder)
        self.node.stop()

    def test_several_volumes_have_names_of_their_own(self):
        self.write_config(CONFIG.replace("[[volume]]", "[[volume]]\nsize = \"1MiB\"\n[[volume]]")
                          .replace('["vm1.img"]', '["a.img", "b.img"]'))
        self.node.ctl("create-md", "vm1")
        self.node.start()
        for export, size in (("", MIB), ("vm1", MIB), ("vm1/1", 64 * MIB)):
            shown = baton_test.run(["nbdinfo", "--size", self.uri(export)]).stdout
            self.assertEqual(int(shown), size, export)
        self.node.stop()

    def test_resources_share_a_listener_and_the_default_export_is_then_no_more(self):
        second = CONFIG.replace("vm1.img", "vm2.img").replace('"vm1"', '"vm2"')
        folder = self.path("conf")
        folder.mkdir()
        for name, text in (("a.toml", CONFIG), ("b.toml", second)):
            (folder / name).write_text(text.replace('"vm1.', '"../vm1.').replace('"vm2.', '"../vm2.')
                                       .replace("unix:vm1", "unix:../vm1"))
        self.node.config = folder
        self.node.ctl("create-md", "vm2")
        self.node.start()
        for name in ("vm1", "vm2"):
            baton_test.run(["nbdinfo", "--size", self.uri(name)])
        baton_test.run(["nbdinfo", "--size", self.uri("")], check=1)
        # One goes down, the other and its listener stay.
        self.node.ctl("down", "vm1")
        baton_test.run(["nbdinfo", "--size", self.uri("vm1")], check=1)
        baton_test.run(["nbdinfo", "--size", self.uri("vm2")])
        self.node.ctl("up", "vm1")
        baton_test.run(["nbdinfo", "--size", self.uri("vm1")])
        self.node.stop()

    def test_down_names_the_client_that_is_attached_and_force_ends_it(self):
        self.node.start()
        reader = self.attach_by_hand()
        self.wait_for(lambda: self.node.status()["clients"], "a client in status")
        text = self.node.refuses("down", "vm1")
        self.assert_sentence(text, "vm1 is in use by unix client, pid", "--force")
        self.node.ctl("down", "vm1", "--force")
        self.assertFalse(self.node.status()["up"])
        self.assertIn("vm1  down", self.node.ctl("status").stdout)
        self.assertIn("batonctl up vm1", self.node.refuses("primary", "vm1"))
        reader.kill()
        self.node.ctl("up", "vm1")
        self.assertTrue(self.node.status()["up"])
        self.node.stop()

    def attach_by_hand(self):
        """A client of one line: qemu-io waits for its commands."""
        return self.start(["qemu-io", "-f", "raw", self.uri("vm1")], stdin=subprocess.PIPE)

    def test_a_write_on_a_secondary_is_refused_and_goes_again_after_primary(self):
        self.node.start()
        self.node.ctl("secondary", "vm1")
        self.assertEqual(self.node.status()["role"], "Secondary")
        write = ["qemu-io", "-f", "raw", self.uri("vm1"), "-c", "write 0 4k"]
        done = baton_test.run(write, check=1)
        self.assertIn("not permitted", (done.stdout + done.stderr))
        self.node.ctl("primary", "vm1")
        baton_test.run(write)
        self.node.stop()

    def test_sigterm_with_a_client_attached_is_still_a_clean_stop(self):
        self.node.start()
        self.attach_by_hand()
        self.wait_for(lambda: self.node.status()["clients"], "a client in status")
        self.node.stop()
        self.node.start()
        self.node.stop()

    def test_sigterm_again_and_again_is_still_a_clean_stop(self):
        for _ in range(5):
            self.node.start()
            while self.node.daemon.is_running():
                self.node.daemon.send_signal(signal.SIGTERM)
            self.node.stop()

    def test_events_tell_what_exists_and_every_change(self):
        self.node.start()
        options = [str(word) for word in self.node.options]
        events = self.start([baton_test.program("batonctl"), *options, "events", "--json"])
        events.wait_for_line(r'"exists".*"device"')
        self.node.ctl("secondary", "vm1")
        events.wait_for_line(r'"change".*"Secondary"')
        for line in events.log().splitlines():
            self.assertIn("event", json.loads(line))
        self.node.stop()
        self.assertEqual(events.wait(), 1)
        self.assertIn("batond is stopping", events.log())

    def test_waits_of_one_node_are_over_at_once(self):
        self.node.start()
        self.node.ctl("wait-connect", "vm1", "--timeout", "5")
        self.node.ctl("wait-sync", "vm1", "--timeout", "5")
        self.node.stop()

    def test_systemd_is_told(self):
        place = self.path("notify.sock")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(place))
            manager.settimeout(10)
            self.node.spawn(env={**os.environ, "NOTIFY_SOCKET": str(place)})
            self.assertEqual(manager.recv(100), b"READY=1")
            self.node.daemon.send_signal(signal.SIGTERM)
            self.assertEqual(manager.recv(100), b"STOPPING=1")
        self.assertEqual(self.node.daemon.wait(), 0)


class CreateMd(NodeCase):
    def test_a_missing_disk_is_made_sparse_and_nobody_is_asked(self):
        done = self.node.ctl("create-md", "vm1")
        self.assertIn("made, sparse", done.stdout)
        disk = self.path("vm1.img").stat()
        self.assertEqual(disk.st_size, 64 * MIB)
        self.assertLess(disk.st_blocks * 512, MIB)
        self.assertEqual(disk.st_mode & 0o077, 0, "a guest's data is not for everybody")
        self.assertTrue(self.path("vm1.img.baton").exists())

    def test_an_image_with_data_is_adopted_in_place(self):
        content = random.Random(1).randbytes(64 * MIB)
        self.path("vm1.img").write_bytes(content)
        done = self.node.ctl("create-md", "vm1")
        self.assertIn("adopted with its data", done.stdout)
        self.assertEqual(self.path("vm1.img").read_bytes(), content)
        (dump,) = json.loads(self.node.ctl("dump-md", "vm1", "--json").stdout)
        self.assertTrue(dump["adopted"])
        self.assertEqual(dump["size"], 64 * MIB)

    def test_an_image_of_zeroes_is_blank(self):
        self.path("vm1.img").write_bytes(bytes(64 * MIB))
        self.assertIn("blank", self.node.ctl("create-md", "vm1").stdout)
        (dump,) = json.loads(self.node.ctl("dump-md", "vm1", "--json").stdout)
        self.assertFalse(dump["adopted"])

    def test_existing_metadata_stays_unless_forced(self):
        self.node.ctl("create-md", "vm1")
        before = self.files()
        text = self.node.refuses("create-md", "vm1")
        self.assert_sentence(text, "vm1.img of vm1 volume 0 has metadata already", "--force")
        self.assertEqual(self.files(), before)
        self.node.ctl("create-md", "vm1", "--force")

    def test_somebody_elses_file_is_not_overwritten_not_even_forced(self):
        self.path("vm1.img.baton").write_text("my diary")
        before = self.files()
        for words in (("create-md", "vm1"), ("create-md", "vm1", "--force")):
            self.assert_sentence(self.node.refuses(*words), "vm1.img.baton holds data", "remove it")
        self.assertEqual(self.files(), before)

    def test_a_disk_of_the_wrong_size_is_refused_and_left_alone(self):
        self.path("vm1.img").write_bytes(b"x" * MIB)
        before = self.files()
        text = self.node.refuses("create-md", "vm1")
        self.assert_sentence(text, "vm1.img", "has 1 MiB", 'size = "64MiB"', "correct size")
        self.assertEqual(self.files(), before)

    def test_a_disk_that_is_no_whole_number_of_sectors_is_refused(self):
        self.write_config(CONFIG.replace('size = "64MiB"', ""))
        self.path("vm1.img").write_bytes(b"x" * 1000)
        self.assert_sentence(self.node.refuses("create-md", "vm1"), "512-byte sectors", "truncate")

    def test_a_missing_disk_without_a_size_is_refused(self):
        self.write_config(CONFIG.replace('size = "64MiB"', ""))
        text = self.node.refuses("create-md", "vm1")
        self.assert_sentence(text, "does not exist", "gives no size", "add size")
        self.assertEqual(list(self.files()), ["vm1.toml"])

    def test_nothing_is_done_for_the_first_volume_when_the_second_is_wrong(self):
        self.write_config(CONFIG.replace("[[volume]]", "[[volume]]\nsize = \"1MiB\"\n[[volume]]")
                          .replace('["vm1.img"]', '["a.img", "b.img"]'))
        self.path("b.img").write_bytes(b"x")
        self.assert_sentence(self.node.refuses("create-md", "vm1"), "b.img of vm1 volume 1")
        self.assertFalse(self.path("a.img").exists())

    def test_a_disk_in_use_by_batond_is_refused(self):
        self.node.ctl("create-md", "vm1")
        self.node.start()
        self.assert_sentence(self.node.refuses("create-md", "vm1", "--force"), "vm1.img",
                             "another process holds it")
        self.node.ctl("dump-md", "vm1")
        self.node.stop()

    def test_dump_md_without_metadata_names_create_md(self):
        self.assert_sentence(self.node.refuses("dump-md", "vm1"), "no metadata", "create-md vm1")

    def test_what_create_md_cannot_find_is_named(self):
        self.assert_sentence(self.node.refuses("create-md", "vm2"), "no resource vm2", "vm1")
        self.node.name = "other"
        self.assert_sentence(self.node.refuses("create-md", "vm1", status=10),
                             "names no node other, only solo", "--node")


class BadInput(NodeCase):
    """The rows of "how it must hold up": one clear sentence, the exit code, nothing changed."""

    def assert_ends(self, status, *parts):
        before = self.files()
        log = self.node.fails(status)
        self.assert_sentence(log, *parts)
        self.assertEqual(self.files(), before)
        self.assertFalse((self.node.run_dir / "control.sock").exists(), "the socket file is gone")
        return log

    def test_a_configuration_error_names_file_line_and_nearest_key(self):
        self.write_config(CONFIG.replace("size =", "sice ="))
        sentence = f'{self.node.config}:5: unknown key "sice" in [[volume]]: did you mean "size"?'
        self.assertEqual(self.node.fails(10), f"batond: {sentence}\n")
        self.assertEqual(self.node.refuses("create-md", "vm1", status=10), f"batonctl: {sentence}")
        self.assertEqual(list(self.files()), ["vm1.toml"])

    def test_a_missing_configuration_is_named(self):
        self.node.config = self.path("none.toml")
        self.assertIn("none.toml: there is no such file", self.node.fails(10))

    def test_a_node_that_the_file_does_not_name_is_told_which_it_names(self):
        self.node.name = "other"
        self.assert_sentence(self.node.fails(10), "names no node other, only solo", "--node")

    def test_wrong_usage_is_exit_code_2(self):
        baton_test.run([baton_test.program("batond"), "--nod", "x"], check=2)
        self.assert_sentence(self.node.refuses("statsu", status=2), 'did you mean "status"?')
        self.node.refuses("primary", status=2)

    def test_a_missing_disk_names_create_md(self):
        self.assert_ends(1, "disk", "vm1.img of vm1 volume 0 does not exist",
                         "batonctl create-md vm1", "no resource could be brought up")
        self.assertFalse(self.path("vm1.img").exists())

    def test_missing_metadata_names_create_md(self):
        self.path("vm1.img").write_bytes(bytes(64 * MIB))
        self.assert_ends(1, "has no metadata", "vm1.img.baton does not exist", "create-md vm1")

    def test_a_disk_of_the_wrong_size_names_both_sizes(self):
        self.node.ctl("create-md", "vm1")
        os.truncate(self.path("vm1.img"), 32 * MIB)
        self.assert_ends(1, "has 32 MiB", 'says size = "64MiB"', "correct size or leave it out")

    def test_metadata_that_is_none_is_refused(self):
        self.node.ctl("create-md", "vm1")
        length = self.path("vm1.img.baton").stat().st_size
        self.path("vm1.img.baton").write_bytes(b"\xff" * length)
        self.assert_ends(1, "vm1.img.baton")

    def test_a_busy_port_names_the_listener(self):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            self.write_config(CONFIG.replace('"unix:vm1.sock"', f'"tcp:127.0.0.1:{port}"'))
            self.node.ctl("create-md", "vm1")
            self.assert_ends(1, f"tcp:127.0.0.1:{port}", "already in use", "free that address",
                             "choose another in nbd of node solo")

    def test_a_live_socket_of_somebody_else_is_left_alone(self):
        self.node.ctl("create-md", "vm1")
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(self.path("vm1.sock")))
            other.listen()
            self.node.fails(1)
            log = self.node.daemon.log()
            self.assert_sentence(log, "vm1.sock", "another server accepts connections there")
            self.assertTrue(baton_test.accepts(self.path("vm1.sock")))

    def test_stale_sockets_are_replaced_silently(self):
        self.node.ctl("create-md", "vm1")
        self.node.run_dir.mkdir()
        for place in (self.path("vm1.sock"), self.node.run_dir / "control.sock"):
            with socket.socket(socket.AF_UNIX) as dead:
                dead.bind(str(place))
        self.node.start()
        self.node.stop()

    def test_a_second_daemon_on_the_run_directory_is_refused(self):
        self.node.ctl("create-md", "vm1")
        first = self.node.start()
        log = self.node.fails(1)
        self.assertEqual(log, f"batond: another batond (pid {first.pid}) already uses run "
                              f"directory {self.node.run_dir}: stop it, or give this one its own "
                              "with --run-dir\n")
        self.node.daemon = first
        self.assertEqual(self.node.status()["role"], "Primary")
        self.node.stop()

    def test_a_second_daemon_on_the_same_disk_is_refused(self):
        self.node.ctl("create-md", "vm1")
        self.node.start()
        self.write_config(CONFIG.replace("vm1.sock", "other.sock"), "other.toml")
        second = Node(self, config="other.toml")
        second.run_dir = self.path("run-second")
        self.assert_sentence(second.fails(1), "vm1.img", "another process holds it")
        self.node.stop()

    def test_one_resource_that_cannot_come_up_does_not_keep_the_others_down(self):
        folder = self.path("conf")
        folder.mkdir()
        for name in ("vm1", "vm2"):
            (folder / f"{name}.toml").write_text(
                CONFIG.replace('"vm1"', f'"{name}"').replace("vm1.", f"../{name}."))
        self.node.config = folder
        self.node.ctl("create-md", "vm2")
        daemon = self.node.start()
        self.assertIn("vm1: stays down: ", daemon.log())
        status = self.node.status("vm1")
        self.assertFalse(status["up"])
        self.assertIn("does not exist", status["error"])
        self.assertEqual(self.node.status("vm2")["role"], "Primary")
        # Its cause removed, it comes up by hand.
        self.assert_sentence(self.node.refuses("up", "vm1"), "create-md vm1")
        self.node.ctl("create-md", "vm1")
        self.node.ctl("up", "vm1")
        self.assertTrue(self.node.status("vm1")["up"])
        self.node.stop()

    def test_without_a_daemon_the_command_that_starts_it_is_named(self):
        text = self.node.refuses("status")
        self.assert_sentence(text, "no batond answers at", "control.sock",
                             f"start it with batond --config {self.node.config} --node solo")

    def test_verbs_of_later_versions_say_so(self):
        for verb in ("resize", "new-current-uuid"):
            self.assert_sentence(self.node.refuses(verb, "vm1"), "not available yet")

    def test_a_handover_window_needs_another_node(self):
        self.node.ctl("create-md", "vm1")
        self.node.start()
        text = self.node.refuses("handover", "vm1", "--allow", "--timeout", "600")
        self.assert_sentence(text, "vm1 has no other node")
        self.assertEqual(self.node.status()["role"], "Primary")
        self.node.stop()

    def test_an_unknown_resource_is_answered_with_the_known_ones(self):
        self.node.ctl("create-md", "vm1")
        self.node.start()
        for verb in ("status", "primary", "wait-sync"):
            self.assert_sentence(self.node.refuses(verb, "vm9"), "no resource vm9", "vm1")
        self.node.stop()


if __name__ == "__main__":
    baton_test.main()
