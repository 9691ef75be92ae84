#!/usr/bin/env python3
"""x-baton:out-of-sync on two real daemons: a client sees which blocks the other copy lacks, and that
nobody knows where nobody can."""
import ast
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import baton_test  # noqa: E402
from baton_pair import MIB, PairCase  # noqa: E402

ASK = """
h.add_meta_context("base:allocation")
h.add_meta_context("x-baton:out-of-sync")
h.connect_uri("{uri}")
found = {{}}
at = 0
while at < h.get_size():
    def seen(context, offset, extents, error):
        found.setdefault(context, []).extend(extents)
    before = sum(found.get("x-baton:out-of-sync", [])[::2])
    h.block_status(min(h.get_size() - at, 1 << 30), at, seen)
    at += sum(found["x-baton:out-of-sync"][::2]) - before
print(found)
h.shutdown()
"""


@baton_test.requires_programs("nbdsh")
class Contexts(PairCase):
    size = 64 * MIB
    options = 'secret = "of this test"\non-peer-lost = "continue"'

    def out_of_sync(self, node):
        """[(offset, length)] of what may differ."""
        done = self.nbdsh(ASK.format(uri=self.uri(node)))
        found = ast.literal_eval(done.stdout)
        self.assertIn("base:allocation", found)
        extents = found["x-baton:out-of-sync"]
        ranges, at = [], 0
        for length, status in zip(extents[::2], extents[1::2]):
            self.assertIn(status, (0, 1))
            if status:
                ranges.append((at, length))
            at += length
        self.assertEqual(at, self.size)
        return ranges

    def test_what_the_other_copy_lacks(self):
        self.begin()
        for node in self.nodes:
            self.assertEqual(self.out_of_sync(node), [])
        self.beta.stop()
        self.wait_disconnected(self.alpha)
        self.qemu_io(self.alpha, "write -P 1 1M 8k", "write -P 2 63M 1M", "write -P 3 2M 100")
        self.assertEqual(self.out_of_sync(self.alpha),
                         [(MIB, 8192), (2 * MIB, 4096), (63 * MIB, MIB)])
        self.beta.start()
        self.connect_both()
        self.synced()
        for node in self.nodes:
            self.assertEqual(self.out_of_sync(node), [])

    def test_who_has_lost_the_holder_knows_nothing(self):
        self.begin()
        self.end_by_sigkill(self.alpha)
        self.wait_disconnected(self.beta)
        self.assertEqual(self.out_of_sync(self.beta), [(0, self.size)])

    def test_tools_list_the_context(self):
        self.begin()
        shown = baton_test.run(["nbdinfo", "--list", self.uri(self.alpha)]).stdout
        self.assertIn("x-baton:out-of-sync", shown)
        mapped = baton_test.run(["nbdinfo", "--map=x-baton:out-of-sync", self.uri(self.alpha)])
        self.assertEqual(mapped.stdout.split()[:3], ["0", str(self.size), "0"])


if __name__ == "__main__":
    baton_test.main()
