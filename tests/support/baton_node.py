"""A Baton node of a test: its configuration, its batond, and batonctl towards it."""
import hashlib
import json
import shlex

import baton_test

# One resource on one node, in the folder of its case.
SINGLE_NODE_CONFIG = """[resource]
name = "vm1"

[[volume]]
size = "64MiB"

[node.solo]
nbd   = ["unix:vm1.sock"]
disks = ["vm1.img"]
"""


class Node:
    """Lives in the folder of `case`; several nodes of one case share the configuration, as on real
    hosts, and differ by name and run directory."""

    def __init__(self, case, name="solo", config="vm1.toml"):
        self.case = case
        self.name = name
        self.config = case.folder / config
        self.run_dir = case.folder / f"run-{name}"
        self.daemon = None

    @property
    def options(self):
        return ["--config", self.config, "--node", self.name, "--run-dir", self.run_dir]

    def spawn(self, **options):
        """Starts batond and does not wait for it."""
        self.daemon = self.case.start([baton_test.program("batond"), *self.options],
                                      name=f"batond-{self.name}", **options)
        return self.daemon

    def start(self):
        """Starts batond and waits until it is ready."""
        self.spawn().wait_for_line(r" ready: ")
        return self.daemon

    def fails(self, status):
        """Starts batond, which is to end by itself with `status`; returns what it said."""
        daemon = self.spawn()
        ended = daemon.wait()
        self.case.assertEqual(ended, status, daemon.log_tail())
        return daemon.log()

    def stop(self):
        """SIGTERM; the stop has to be clean."""
        self.case.assertEqual(self.daemon.stop(), 0, self.daemon.log_tail())
        self.case.assertIn("stopped cleanly", self.daemon.log())

    def ctl(self, *words, check=0, **options):
        """batonctl VERB ... towards this node; `check` is the exit status expected."""
        return baton_test.run([baton_test.program("batonctl"), *self.options, *words], check=check,
                              **options)

    def refuses(self, *words, status=1):
        """batonctl has to fail with `status` and one sentence, which is returned."""
        done = self.ctl(*words, check=status)
        lines = done.stderr.strip().splitlines()
        command = shlex.join(str(word) for word in words)
        self.case.assertEqual(len(lines), 1, f"{command} said:\n{done.stderr}")
        self.case.assertTrue(lines[0].startswith("batonctl: "), lines[0])
        self.case.assertEqual(done.stdout, "")
        return lines[0]

    def status(self, resource="vm1"):
        """The resource's object of `status --json`."""
        (entry,) = json.loads(self.ctl("status", resource, "--json").stdout)
        return entry


class NodeCase(baton_test.TestCase):
    """A case with one node, configured and not started."""

    def setUp(self):
        super().setUp()
        self.node = Node(self)
        self.write_config(SINGLE_NODE_CONFIG)

    def write_config(self, text, name="vm1.toml"):
        (self.folder / name).write_text(text)

    def path(self, name):
        return self.folder / name

    def uri(self, export="", name="vm1.sock"):
        return f"nbd+unix:///{export}?socket={self.path(name)}"

    def files(self):
        """Every file with its content's hash: nothing but the daemon's own files may change."""
        def fingerprint(path):
            return hashlib.sha256(path.read_bytes()).hexdigest()
        return {path.name: fingerprint(path) for path in self.folder.iterdir()
                if path.is_file() and not path.name.endswith(".log")}

    def assert_sentence(self, text, *parts):
        for part in parts:
            self.assertIn(part, text)
