#!/usr/bin/python3
"""Goal: who may connect to a unix socket is what the configuration says, from the first moment on.
Method: real daemons; the socket file as others see it."""
import pathlib
import pwd
import socket
import stat
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import baton_test  # noqa: E402
from baton_node import NodeCase, SINGLE_NODE_CONFIG as CONFIG  # noqa: E402

# Connects as somebody else; prints how it went.
TRY = """import os, socket, sys
os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[1]))
try:
    socket.socket(socket.AF_UNIX).connect(sys.argv[3])
    print("in")
except PermissionError:
    print("out")
"""


class Access(NodeCase):
    def setUp(self):
        super().setUp()
        self.node.ctl("create-md", "vm1")

    def say(self, *lines, listeners='"unix:vm1.sock"'):
        text = CONFIG.replace('"unix:vm1.sock"', listeners)
        self.write_config(text + "".join(f"{line}\n" for line in lines))

    def file(self, name="vm1.sock"):
        """(owner, group, mode)"""
        seen = self.path(name).stat()
        self.assertTrue(stat.S_ISSOCK(seen.st_mode))
        return seen.st_uid, seen.st_gid, stat.S_IMODE(seen.st_mode)

    def connects(self, user, group):
        done = baton_test.run([sys.executable, "-c", TRY, user, group, self.path("vm1.sock")])
        return done.stdout.strip() == "in"

    @baton_test.requires_root("giving a file to somebody else")
    def test_owner_group_and_mode_are_those_of_the_configuration(self):
        nobody = pwd.getpwnam("nobody").pw_uid
        self.say('nbd-owner = "nobody"', 'nbd-group = "4711"', 'nbd-mode = "0620"',
                 listeners='"unix:vm1.sock", "unix:other.sock"')
        self.node.start()
        for name in ("vm1.sock", "other.sock"):
            self.assertEqual(self.file(name), (nobody, 4711, 0o620), name)
        self.folder.chmod(0o755)
        self.assertTrue(self.connects(nobody, 4712))
        self.assertTrue(self.connects(4710, 4711))
        self.assertFalse(self.connects(4710, 4712))
        # Taken down and brought up again, too.
        self.node.ctl("down", "vm1")
        self.node.ctl("up", "vm1")
        self.assertEqual(self.file(), (nobody, 4711, 0o620))
        self.node.stop()

    def test_what_is_not_given_stays_as_it_was(self):
        self.node.start()
        owner, group, usual = self.file()
        self.node.stop()
        self.say('nbd-mode = "666"')
        self.node.start()
        self.assertNotEqual(usual, 0o666, "or this shows nothing")
        self.assertEqual(self.file(), (owner, group, 0o666))
        self.node.stop()

    def test_a_user_that_this_host_does_not_have_is_named(self):
        for key, kind in (("nbd-owner", "user"), ("nbd-group", "group")):
            self.say(f'{key} = "no-such-one"')
            log = self.node.fails(10)
            self.assert_sentence(
                log, f'vm1 cannot be exported: unix:{self.path("vm1.sock")}: this host has no {kind} '
                '"no-such-one"; correct nbd-owner, nbd-group or nbd-mode of node solo in '
                f"{self.node.config}", "no resource could be brought up")
            self.assertFalse(self.path("vm1.sock").exists())

    @baton_test.requires_root("running as somebody else")
    @baton_test.requires_programs("setpriv")
    def test_who_may_not_give_files_away_is_told(self):
        for path in (self.folder, *self.folder.iterdir()):
            path.chmod(0o777)
        self.say('nbd-owner = "0"')
        options = [str(option) for option in self.node.options]
        daemon = self.start(["setpriv", "--reuid=4710", "--regid=4710", "--clear-groups",
                             baton_test.program("batond"), *options])
        self.assertEqual(daemon.wait(), 10, daemon.log_tail())
        self.assert_sentence(daemon.log(), "the owner or group of its socket file cannot be set: "
                             "Operation not permitted; correct nbd-owner")
        self.assertFalse(self.path("vm1.sock").exists(), "nothing is left of the attempt")

    def test_up_by_hand_says_so_too(self):
        self.say('nbd-owner = "no-such-one"')
        folder = self.path("conf")
        folder.mkdir()
        for name, owner in (("vm1", "no-such-one"), ("vm2", "root")):
            text = CONFIG.replace('"vm1"', f'"{name}"').replace("vm1.", f"../{name}.")
            (folder / f"{name}.toml").write_text(text + f'nbd-owner = "{owner}"\n')
        self.node.config = folder
        self.node.ctl("create-md", "vm2")
        self.node.start()
        self.assert_sentence(self.node.refuses("up", "vm1", status=10), 'no user "no-such-one"')
        self.node.stop()

    def test_a_socket_of_the_service_manager_keeps_what_that_gave_it(self):
        self.say('nbd-mode = "0666"')
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.path("vm1.sock")))
            listener.listen()
            self.path("vm1.sock").chmod(0o640)
            start = f'exec 3<&{listener.fileno()}; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
            options = [str(option) for option in self.node.options]
            daemon = self.start(["bash", "-c", start, "bash", baton_test.program("batond"), *options],
                                pass_fds=[listener.fileno()])
            daemon.wait_for_line(" ready: ")
            self.assertEqual(self.file()[2], 0o640)
            self.assertEqual(daemon.stop(), 0, daemon.log_tail())


if __name__ == "__main__":
    baton_test.main()
