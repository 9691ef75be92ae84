#!/usr/bin/python3
"""The test guest on trial, before anybody is judged by it. Baton takes no part.

1. The checker: a good file passes, and every way of losing or changing a write is found.
2. The guest: it boots, writes, is migrated there and back while it writes, and loses nothing; the
   witness outside sees a pause that the guest's own clock cannot see; a migration that is cancelled
   at the gate leaves the guest running where it was.
3. Both: one bit of one record is changed in the image, and the check in the guest fails.

Usage: guest_selftest.py [--guest OUTDIR] (default: ${XDG_CACHE_HOME:-~/.cache}/baton/guest)
Exit: 0 all good, 1 something is not, 77 skipped because a program is missing.
"""

import argparse
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "guest"))

import guest
import record_file
from shared_image import two_nodes

LIMIT_SECONDS = 540
IMAGE_BYTES = 256 * 2**20
GATE_SECONDS = 0.7  # a slow handover, for the witness to see
PROGRAMS = ["qemu-system-x86_64", "qemu-nbd", "debugfs", "e2fsck", "cpio", "busybox", "setpriv"]


class Failed(Exception):
    pass


def expect(condition, what):
    if not condition:
        raise Failed(what)


def passed(what):
    print(f"ok    {what}", flush=True)


# 1. The checker

def write_until(writer, path, count):
    """Lets guest_writer write until it has acknowledged record `count`; the last acknowledged."""
    acks = path.with_suffix(".acks")
    os.mkfifo(acks)
    process = subprocess.Popen([writer, "--write", path, "--acks", acks, "--name", "vda"],
                               stderr=subprocess.DEVNULL)
    last = 0
    with open(acks, encoding="ascii") as lines:
        for line in lines:
            last = int(line.split()[1])
            if last == count:
                process.terminate()
    acks.unlink()
    expect(process.wait(10) == 0, f"guest_writer ended with {process.returncode}")
    return last


def checker_finds_every_damage(writer, work):
    good, earlier, broken = work / "good", work / "earlier", work / "broken"
    write_until(writer, good, 600)
    shutil.copyfile(good, earlier)
    last = write_until(writer, good, 1200)
    expect(record_file.check(writer, good)["check"] == "ok", "a good file does not pass")
    expect(record_file.check(writer, good, last)["check"] == "ok", "promises kept, yet it fails")
    passed("a good file passes, also one that was written in two runs")

    records = record_file.records(good)
    old, new = record_file.slot_sequences(earlier), record_file.slot_sequences(good)
    slot = next(offset for offset in old if 0 < old[offset] < new[offset])
    whole = [record for record in records if record.size == record_file.BLOCK]
    content = good.read_bytes()

    def piece(source, offset, size=record_file.BLOCK):
        return source[offset:offset + size]

    def swap(path):
        first, second = whole[10], whole[11]
        record_file.overwrite(path, first.offset, piece(content, second.offset))
        record_file.overwrite(path, second.offset, piece(content, first.offset))

    damages = {
        "one bit of a record changed": lambda path: record_file.flip(path, records[99].offset + 60),
        "one bit of a slot changed": lambda path: record_file.flip(path, slot + 4000),
        "a block of the log lost (zeroes)":
            lambda path: record_file.overwrite(path, whole[50].offset, bytes(record_file.BLOCK)),
        "an overwrite lost (an older slot)":
            lambda path: record_file.overwrite(path, slot, piece(earlier.read_bytes(), slot)),
        "two records exchanged": swap,
        "the last record cut off": lambda path: os.truncate(path, records[-1].offset),
        "half of the last record cut off": lambda path: os.truncate(path, len(content) - 20),
        "the header changed": lambda path: record_file.flip(path, 9),
    }
    for what, damage in damages.items():
        shutil.copyfile(good, broken)
        damage(broken)
        verdict = record_file.check(writer, broken, last)
        expect(verdict["check"] == "failed", f"not found: {what}: {verdict}")
        passed(f"found: {what}: {verdict['first_error']}")
    expect(record_file.check(writer, good, last + 1)["check"] == "failed",
           "a record that was promised and never written is not missed")
    os.truncate(broken, 0)
    shutil.copyfile(good, broken)
    os.truncate(broken, len(content) - 20)
    expect(record_file.check(writer, broken, last - 1)["check"] == "ok",
           "a torn record that nobody was promised is held against the storage")
    passed("a torn record that was never acknowledged is nobody's loss")


# 2. The guest

def boot(run, name, uri, image_dir, **options):
    return guest.Machine.start(run, name, [uri], image_dir, shared_memory=True, **options)


def guest_survives_moves(run, image, image_dir):
    """Returns the newest acknowledged record."""
    with two_nodes(image, run) as (uri_a, uri_b), guest.Witness() as witness:
        begun = time.monotonic()
        with boot(run, "a", uri_a, image_dir) as first:
            witness.watch(first)
            ready = first.wait_ready()
            passed(f"boots under {guest.accelerator(image_dir / 'vmlinuz')} in "
                   f"{time.monotonic() - begun:.1f} s ({ready['uptime']} s by its own clock)")
            witness.wait_more(200)
            with boot(run, "b", uri_b, image_dir, incoming=True) as second:
                move(witness, first, second)
                first.quit()
                with boot(run, "a2", uri_a, image_dir, incoming=True) as third:
                    slow_move_is_seen(witness, second, third)
                    second.quit()
                    cancelled_move_changes_nothing(run, witness, third, uri_b, image_dir)
                    return judge(witness, third)


def move(witness, source, destination, gate=None):
    witness.watch(destination)
    done = guest.migrate(source, destination, gate)
    witness.wait_more(200)
    pause = witness.gaps(done.stop_time, done.resume_time)[0]
    expect(pause.machines == (source.name, destination.name), f"not across the move: {pause}")
    passed(f"{source.name} -> {destination.name}: guest pause {pause.ms:.0f} ms (stopped "
           f"{done.stopped:.0f} ms, gate {done.gate:.0f} ms), all in {done.total:.0f} ms, "
           f"{done.ram_mib:.0f} MiB of memory")
    return pause


def slow_move_is_seen(witness, source, destination):
    # Not synchronisation: the time that a storage takes to hand over.
    pause = move(witness, source, destination, lambda: threading.Event().wait(GATE_SECONDS))
    expect(pause.ms >= GATE_SECONDS * 1000, f"a gate of {GATE_SECONDS} s, but the pause is {pause}")
    inside = destination.ask("stats")["disks"]["vda"]["gap_ms"]
    passed(f"the witness sees the slow gate ({pause.ms:.0f} ms); the guest's own clock stood still "
           f"(its largest gap: {inside} ms)")


def cancelled_move_changes_nothing(run, witness, source, uri, image_dir):
    def refuse():
        raise Failed("refused on purpose")

    with boot(run, "never", uri, image_dir, incoming=True) as destination:
        witness.watch(destination)
        try:
            guest.migrate(source, destination, refuse)
        except Failed:
            witness.wait_more(50)
            expect(source.running(), "the source's guest does not run after a cancelled migration")
            passed("a migration refused at the gate: the guest goes on at the source")
            return
        raise Failed("a gate that refuses did not stop the migration")


def judge(witness, machine):
    verdict = machine.check(witness.acknowledged())
    expect(verdict["ok"] and verdict["kernel_errors"] == 0, f"check in the guest: {verdict}")
    disk = verdict["disks"]["vda"]
    expect(disk["past_page_cache"], "the guest checked its own memory instead of the disk")
    witness.restart()
    witness.wait_more(20)  # a check disturbs nothing
    stopped = machine.ask("stop")
    expect(stopped["ok"], f"stop: {stopped}")
    written = stopped["disks"]["vda"]["records"]
    witness.wait_until({"vda": written})
    expect(witness.acknowledged()["vda"] == written,
           f"the guest counts {written} records, the witness {witness.acknowledged()}")
    expect(not witness.contradictions, f"two guests at once: {witness.contradictions}")
    fsck = machine.ask("fsck")
    expect(fsck["ok"], f"fsck in the guest: {fsck}")
    machine.poweroff()
    passed(f"nothing lost, seen from inside: {disk['records']} records, "
           f"{stopped['disks']['vda']['readbacks']} readbacks since the check, e2fsck clean")
    return written


def image_holds_everything(writer, work, image, acknowledged):
    copy = work / "records"
    record_file.extract(image, copy)
    verdict = record_file.check(writer, copy, acknowledged)
    expect(verdict["check"] == "ok" and verdict["records"] == acknowledged, f"image: {verdict}")
    expect(record_file.filesystem_is_clean(image), f"e2fsck finds errors in {image}")
    passed(f"nothing lost, seen from outside: all {acknowledged} records are in the image")
    return record_file.records(copy)


# 3. Both

def damage_is_seen_in_the_guest(run, image, image_dir, records):
    victim = records[len(records) // 2]
    record_file.flip(image, record_file.offset_in_image(image, victim) + 45)
    with two_nodes(image, run) as (uri, _):
        with boot(run, "a", uri, image_dir, writers=False) as machine:
            machine.wait_ready()
            verdict = machine.check({"vda": len(records)})
            disk = verdict["disks"]["vda"]
            expect(not verdict["ok"] and disk["errors"] == 1 and
                   disk["first_error"].startswith(f"record {victim.sequence} at"),
                   f"record {victim.sequence} was damaged, the guest says {verdict}")
            machine.poweroff()
    passed(f"one bit changed in the image, found in the guest: {disk['first_error']}")


def stop_at_limit(*_):
    raise Failed(f"not done within {LIMIT_SECONDS} s")


def stop_when_told(*_):
    raise Failed("told to end")


def main():
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    parser = argparse.ArgumentParser(description="Tests the test guest, without Baton.")
    parser.add_argument("--guest", type=pathlib.Path, default=cache / "baton" / "guest")
    options = parser.parse_args()
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    missing = [program for program in PROGRAMS if not shutil.which(program, path=path)]
    if missing:
        print(f"skipped: {', '.join(missing)} not installed")
        return 77
    signal.signal(signal.SIGALRM, stop_at_limit)
    signal.signal(signal.SIGTERM, stop_when_told)  # so that everything below is put away
    signal.alarm(LIMIT_SECONDS)
    try:
        image_dir = guest.build(options.guest)
        with tempfile.TemporaryDirectory(prefix="baton-guest-") as name:
            work = pathlib.Path(name)
            checker_finds_every_damage(image_dir / "guest_writer", work)
            image = work / "vm1.img"
            with open(image, "wb") as file:
                file.truncate(IMAGE_BYTES)
            acknowledged = guest_survives_moves(work, image, image_dir)
            records = image_holds_everything(image_dir / "guest_writer", work, image, acknowledged)
            damage_is_seen_in_the_guest(work, image, image_dir, records)
    except (Failed, guest.GuestError) as error:
        print(f"FAIL  {error}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
