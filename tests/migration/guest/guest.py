#!/usr/bin/python3
"""The test guest: build it, start QEMUs for it, talk to it, move it.

As a module: `import guest`; what is named in __all__ is its surface, each with its contract in the
file it comes from. As a command each step is a process of its own, and the QEMUs live on between
them (guest.py end stops them):

  guest.py build OUTDIR
  guest.py start --guest OUTDIR --run DIR --name a --disk 'nbd+unix:///vm1?socket=/run/a.sock'
  guest.py start ... --name b --disk ... --incoming
  guest.py watch --run DIR a b      prints each noticeable pause; at the end, or when told to end
                                    (SIGTERM), one JSON line: what was acknowledged, largest gaps
  guest.py migrate --run DIR a b [--at-switchover COMMAND]
  guest.py ask --run DIR --name b stats
  guest.py end --run DIR --name a

Exit: 0 done, 1 not, with the reason on stderr, 2 wrong usage.
"""

import argparse
import json
import pathlib
import signal
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from acceleration import accelerator
from channel import GuestError
from machine import Machine
from migrate import MigrationFailed, Move, MoveObserver, migrate
from witness import Gap, Witness

__all__ = ["GuestError", "Gap", "Machine", "MigrationFailed", "Move", "MoveObserver", "Witness",
           "accelerator", "build", "migrate"]

NOTICEABLE_MS = 100


def build(outdir):
    """Makes the guest in `outdir` if it is not there yet or its sources changed; returns its path.
    The first time it needs a network, for the kernel's package."""
    script = pathlib.Path(__file__).parent / "build-guest"
    done = subprocess.run([script, outdir], check=False)
    if done.returncode != 0:
        raise GuestError("the guest could not be built; the reason is above")
    return pathlib.Path(outdir).resolve()


def main(arguments):
    options = _parse(arguments)
    try:
        return options.run_verb(options)
    except GuestError as error:
        print(f"guest.py: {error}", file=sys.stderr)
        return 1


def _build(options):
    build(options.outdir)
    return 0


def _start(options):
    machine = Machine.start(options.run, options.name, options.disk, options.guest,
                            incoming=options.incoming, memory_mib=options.memory, rate=options.rate,
                            writers=not options.no_writers, outlive=True)
    try:
        ready = None if options.incoming else machine.wait_ready()
    except BaseException:
        machine.kill()
        raise
    print(json.dumps({"pid": machine.pid, "qmp": str(machine.path("qmp")), "ready": ready,
                      "accelerator": accelerator(options.guest / "vmlinuz")}))
    machine.close()
    return 0


def _ask(options):
    with Machine.attach(options.run, options.name) as machine:
        answer = machine.ask(options.verb, *options.argument, timeout=options.timeout)
    print(json.dumps(answer))
    return 0 if answer["ok"] else 1


def _watch(options):
    told_to_end = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told_to_end.set())

    def report(gap):
        if gap.ms >= NOTICEABLE_MS:
            print(json.dumps({"gap": gap._asdict()}), flush=True)

    with Witness(on_gap=report, on_all_ended=told_to_end.set) as witness:
        for name in options.names:
            witness.watch(Machine(options.run, name))
        told_to_end.wait()
        print(json.dumps({"acknowledged": witness.acknowledged(),
                          "largest": [gap._asdict() for gap in witness.gaps()[:5]],
                          "contradictions": witness.contradictions}), flush=True)
    return 1 if witness.contradictions else 0


def _migrate(options):
    def gate():
        done = subprocess.run(options.at_switchover, shell=True, check=False)
        if done.returncode != 0:
            raise GuestError(f"'{options.at_switchover}' ended with {done.returncode}; "
                             "the migration was cancelled and the source goes on")

    with Machine.attach(options.run, options.source) as source, \
         Machine.attach(options.run, options.destination) as destination:
        move = migrate(source, destination, gate if options.at_switchover else None)
    print(json.dumps(move._asdict()))
    return 0


def _end(options):
    machine = Machine.attach(options.run, options.name)
    machine.quit()
    return 0


def _parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def verb(name, run_verb, with_name=True):
        result = verbs.add_parser(name)
        result.set_defaults(run_verb=run_verb)
        if run_verb is not _build:
            result.add_argument("--run", type=pathlib.Path, required=True, metavar="DIR")
        if with_name:
            result.add_argument("--name", required=True)
        return result

    verb("build", _build, with_name=False).add_argument("outdir", type=pathlib.Path)
    start = verb("start", _start)
    start.add_argument("--guest", type=pathlib.Path, required=True, metavar="OUTDIR")
    start.add_argument("--disk", action="append", required=True, metavar="URI|BLOCKDEV_JSON")
    start.add_argument("--incoming", action="store_true")
    start.add_argument("--no-writers", action="store_true")
    start.add_argument("--memory", type=int, default=160, metavar="MIB")
    start.add_argument("--rate", type=int, default=0, metavar="RECORDS_PER_SECOND")
    ask = verb("ask", _ask)
    ask.add_argument("--timeout", type=float, default=300, metavar="SECONDS")
    ask.add_argument("verb")
    ask.add_argument("argument", nargs="*")
    verb("watch", _watch, with_name=False).add_argument("names", nargs="+", metavar="NAME")
    migration = verb("migrate", _migrate, with_name=False)
    migration.add_argument("source")
    migration.add_argument("destination")
    migration.add_argument("--at-switchover", metavar="COMMAND")
    verb("end", _end)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
