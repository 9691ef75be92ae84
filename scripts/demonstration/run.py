"""Starts nodes alpha and beta on this machine, boots a Linux guest whose disk is a Baton volume,
live-migrates it alpha -> beta -> alpha while it writes, checks every byte, prints the pauses.

The guest appends checksummed records with fsync, and says outside when each is acknowledged. At the
end it reads all of them back; then both nodes stop, and both images are checked from outside and
compared. Exit 1, with the reason, if anything was lost or changed. Nothing is left behind.
"""
import argparse
import contextlib
import pathlib
import shutil
import signal
import sys
import tempfile
import time

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "migration"))
sys.path.insert(0, str(pathlib.Path(__file__).parent))

import guest_pair  # noqa: E402
import words  # noqa: E402
from guest_pair import guest  # noqa: E402

BUILD = ROOT / "build" / "release"
GUEST = BUILD / "guest"
# So that every leg of the way has enough to lose.
RECORDS_PER_LEG = 300


class Move:
    """One migration: batonctl's figures, and the pause that the guest's users would have noticed."""

    def __init__(self, figures, outside_ms):
        self.figures, self.outside_ms = figures, outside_ms


def say(text):
    print(text, flush=True)


def migrate(pair, witness, source, destination):
    witness.watch(destination)
    say(f"migrating {source.name} -> {destination.name}: batonctl migrate vm1")
    begun = time.monotonic()
    figures = pair.migrate(source.name, show=True)
    source.wait_end()
    witness.wait_more(RECORDS_PER_LEG)
    across = [gap for gap in witness.gaps(begun) if gap.machines == (source.name, destination.name)]
    # The witness keeps the largest gaps only: on a busy machine a short pause is not among them.
    move = Move(figures, across[0].ms if across else None)
    say(f"  {words.of_move(move)}")
    return move


def show(folder, moves):
    """The whole of it, up to the comparison of the images; returns what the table says."""
    begun = time.monotonic()
    with contextlib.ExitStack() as stack:
        pair = stack.enter_context(guest_pair.Pair(folder, BUILD))
        pair.begin()
        say(f"nodes alpha and beta run on this machine, in sync; everything is in {folder}")
        witness = stack.enter_context(guest.Witness())
        machine = stack.enter_context(pair.machine("alpha", GUEST))
        witness.watch(machine)
        machine.wait_ready()
        witness.wait_more(RECORDS_PER_LEG)
        say(f"guest runs on alpha ({guest.accelerator(GUEST / 'vmlinuz')}), writes to ext4 on vm1 "
            f"through {pair.uri('alpha')}")
        done = []
        for _ in range(moves):
            name = "beta" if machine.name == "alpha" else "alpha"
            destination = stack.enter_context(pair.machine(name, GUEST, incoming=True))
            done.append(migrate(pair, witness, machine, destination))
            machine = destination
        say("checking in the guest: every record read back from the disk, e2fsck")
        written = guest_pair.judge_guest(machine, witness)
        replicated = sum(pair.status(name)["bytes-replicated"] for name in guest_pair.NAMES)
        machine.poweroff()
        pair.stop_nodes()
        say("checking both images from outside: e2fsck, every record, byte for byte equal")
        for name in guest_pair.NAMES:
            pair.check_image(name, GUEST, written["records"])
        pair.compare_images()
    return words.table(done, written, replicated, time.monotonic() - begun)


def leave_running(folder):
    """Both nodes and a guest on alpha, with the images of the demo, and what to do with them."""
    pair = guest_pair.Pair(folder, BUILD, outlive=True)
    for name in guest_pair.NAMES:
        pair.start_node(name)
    pair.ctl("alpha", "wait-sync", "vm1", "--timeout", "60")
    pair.ctl("alpha", "primary", "vm1")
    machine = pair.machine("alpha", GUEST, outlive=True)
    machine.wait_ready()
    machine.close()  # our connections; QEMU stays
    say(words.to_try(ROOT, pair, GUEST))


def run(options):
    guest.build(GUEST)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="baton-demo-"))
    keep = False
    try:
        say(show(folder, options.moves))
        if options.keep:
            leave_running(folder)
            keep = True
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    return 0


def parse():
    parser = argparse.ArgumentParser(
        prog="scripts/demo", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true",
                        help="leave nodes and guest running, and print what to try next")
    parser.add_argument("--moves", type=int, default=2, metavar="N",
                        help="how many migrations (default 2: there and back)")
    return parser.parse_args()


def unwind(number, _):
    # Leaves through every `with` and `finally`, so that nothing stays behind.
    sys.exit(128 + number)


def main():
    options = parse()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, unwind)
    try:
        return run(options)
    except (guest_pair.PairError, guest.GuestError) as error:
        print(f"demo: FAILED: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
