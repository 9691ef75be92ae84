"""One QEMU that runs the test guest, or waits for it to come in by migration.

Sockets, all in the run directory and all listening before QEMU starts:
  NAME.qmp       QMP, left free for whoever coordinates a migration (batond)
  NAME.own-qmp   QMP, ours
  NAME.console   the guest's console (ttyS0); NAME.console.log keeps what was said
  NAME.agent     commands to the guest (ttyS1), see agent
  NAME.acks      every acknowledged record (ttyS2), see witness.py
A guest talks on the sockets of the QEMU that it runs in; after a migration, the destination's.
"""

import json
import os
import pathlib
import select
import signal
import socket
import subprocess
import sys
import zlib

import disks as disk_arguments
from acceleration import accelerator
from channel import GuestError, LineChannel
from qmp import Qmp

SOCKETS = ("qmp", "own-qmp", "console", "agent", "acks")
READY_SECONDS = 90  # a boot takes 4 s under TCG on an idle core; a loaded machine many times that
ANSWER_SECONDS = 60


class Machine:
    """A context manager: leaving it ends the QEMU, unless it was started to outlive us."""

    def __init__(self, run_dir, name):
        self.run_dir, self.name = pathlib.Path(run_dir).resolve(), name
        self.log = self.path("log")
        self.hint = f"See {self.log} and {self.path('console.log')}."
        self.qmp = self._agent = None
        self._process = None  # a QEMU that we started
        self._pidfd = None  # one that we did not
        self._requests = 0

    @classmethod
    def start(cls, run_dir, name, disks, guest, *, incoming=False, memory_mib=160, rate=0,
              writers=True, accel=None, outlive=False, shared_memory=False,
              append="", network=None):
        """Starts QEMU and returns when QMP answers; the guest is then booting (see wait_ready).

        `disks`: see disks.py. `guest`: the directory build-guest filled. `incoming`: wait for a
        migration (-incoming defer) instead of booting. `rate`: records per second and disk, 0 as
        many as possible. `writers=False`: the guest waits for the command start. `shared_memory`: all
        machines of the run directory have one memory, and a migration copies none of it: QEMU 7.2
        under TCG loses stores while it copies (README.md, "Memory"). Without `outlive`
        QEMU is killed when the calling *thread* ends in whatever way (so call this from a thread
        that lives as long). `append`: more of the kernel's command line. `network`: a connected
        stream socket, the other end of which another machine has.
        """
        machine = cls(run_dir, name)
        try:
            machine._launch(disks, pathlib.Path(guest), incoming, memory_mib, rate, writers, accel,
                            outlive, shared_memory, append, network)
            machine._connect()
            if shared_memory:
                machine.qmp.execute("migrate-set-capabilities", {
                    "capabilities": [{"capability": "x-ignore-shared", "state": True}]})
        except BaseException:
            if machine._process:
                machine.kill()
            else:
                machine.close()  # not kill: the name may be that of a QEMU which is not ours
            raise
        return machine

    @classmethod
    def attach(cls, run_dir, name):
        """A machine that another process started with outlive=True."""
        machine = cls(run_dir, name)
        pid = machine._pid_in_file()
        if pid is None:
            raise GuestError(f"{name}: no QEMU of that name runs in {run_dir}")
        machine._pidfd = os.pidfd_open(pid)
        machine._connect()
        return machine

    def path(self, suffix):
        return self.run_dir / f"{self.name}.{suffix}"

    @property
    def pid(self):
        return self._process.pid if self._process else self._pid_in_file()

    # The guest

    def wait_ready(self, timeout=READY_SECONDS):
        """Returns what the agent said when it had started; GuestError if a disk was unusable."""
        line = self.agent.wait(lambda text: text.startswith("ready "), timeout,
                               "word from the booting guest")
        answer = json.loads(line.text[len("ready "):])
        if not answer["ok"]:
            raise GuestError(f"{self.name}: the guest could not start its writers: {answer}")
        return answer

    def ask(self, verb, *arguments, timeout=ANSWER_SECONDS):
        """The agent's answer as a dict; look at its "ok". GuestError if none comes in time."""
        self._requests += 1
        # The process is part of the id: an answer may still be under way to an earlier client.
        request = f"{os.getpid()}.{self._requests}"
        self.agent.send(" ".join([request, verb, *map(str, arguments)]))
        line = self.agent.wait(lambda text: text.startswith(request + " "), timeout,
                               f"answer from the guest to '{verb}'")
        return json.loads(line.text[len(request) + 1:])

    def check(self, acknowledged=None, timeout=300):
        """The guest reads everything back. `acknowledged`: {disk: sequence} that it must have."""
        promises = [f"{disk}={count}" for disk, count in (acknowledged or {}).items()]
        return self.ask("check", *promises, timeout=timeout)

    @property
    def agent(self):
        """The command channel. Before a migration is over, only the source's is answered."""
        if self._agent is None:
            self._agent = LineChannel(f"{self.name}: agent", self.path("agent"), hint=self.hint)
        return self._agent

    def poweroff(self, timeout=30):
        """Ends the guest from inside; returns when QEMU is gone."""
        self.agent.send("- poweroff")
        self._wait_gone(timeout)
        self.close()

    # The QEMU

    def quit(self, timeout=30):
        """Ends QEMU as an operator would: it flushes and disconnects its disks first."""
        try:
            self.qmp.execute("quit", timeout=timeout)
        except GuestError:
            if not self.qmp.ended:
                raise
        self._wait_gone(timeout)
        self.close()

    def wait_end(self, timeout=30):
        """Returns when QEMU has ended by itself, as it does after `batonctl migrate` away from it."""
        self._wait_gone(timeout)
        self.close()

    def kill(self):
        """Ends QEMU at once, as a crash would, and forgets its sockets."""
        if self._process:
            self._process.kill()
            self._process.wait()
        elif self._pidfd is not None and self._alive():
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            self._wait_gone(10)
        self.close()

    def close(self):
        """Drops our connections; once QEMU is gone also removes its sockets. Keeps the logs."""
        for channel in (self.qmp, self._agent):
            if channel:
                channel.close()
        self.qmp = self._agent = None
        if not self._alive():
            for suffix in (*SOCKETS, "pid"):
                self.path(suffix).unlink(missing_ok=True)
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None

    def running(self):
        """Whether the guest's processor runs in this QEMU now."""
        return self.qmp.execute("query-status")["running"]

    def __enter__(self):
        return self

    def __exit__(self, error, *_):
        if error and self._alive():
            self._print_evidence()
        if self._process:
            self.kill()
        else:
            self.close()

    def _launch(self, disks, guest, incoming, memory_mib, rate, writers, accel, outlive,
                shared_memory, append, network):
        for needed in (guest / "vmlinuz", guest / "initrd.gz"):
            if not needed.exists():
                raise GuestError(f"{needed} is missing; run tests/migration/guest/build-guest {guest}")
        accel = accel or accelerator(guest / "vmlinuz")
        listeners = {suffix: self._listen(suffix) for suffix in SOCKETS}
        arguments = [
            "qemu-system-x86_64", "-name", self.name, "-M", "pc", "-accel", accel,
            "-cpu", "host" if accel == "kvm" else "max",  # both have rdrand: nobody waits for entropy
            "-m", str(memory_mib), "-nodefaults", "-no-user-config", "-display", "none",
            "-no-reboot", "-pidfile", str(self.path("pid")),
            "-kernel", str(guest / "vmlinuz"), "-initrd", str(guest / "initrd.gz"),
            "-append", "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable "
                       f"baton.rate={rate} baton.start={int(writers)} {append}",
            *_characters(listeners, self.path("console.log")), *disk_arguments.arguments(disks),
        ]
        if shared_memory:
            arguments += ["-machine", "memory-backend=ram", "-object", "memory-backend-file,id=ram,"
                          f"size={memory_mib}M,share=on,mem-path={self.run_dir / 'ram'}"]
        sockets = list(listeners.values())
        if network:
            # Addresses must differ: QEMU gives every machine the same one.
            own = zlib.crc32(self.name.encode()).to_bytes(4, "big")[1:].hex(":")
            arguments += ["-netdev", f"socket,id=net,fd={network.fileno()}",
                          "-device", f"virtio-net-pci,netdev=net,romfile=,mac=52:54:00:{own}"]
            sockets.append(network)
        if incoming:
            arguments += ["-incoming", "defer"]
        if not outlive:
            arguments = ["setpriv", "--pdeathsig", "KILL", *arguments]
        with open(self.log, "ab") as log:
            # A session of its own: Ctrl-C is for us, and we then end QEMU in order.
            process = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                pass_fds=[each.fileno() for each in sockets])
        self._process = process
        for each in sockets:
            each.close()  # QEMU has it; if QEMU dies, connecting must fail and not hang

    def _print_evidence(self):
        """Where a guest that is silent has got stuck: its processor, its disk, or its serial lines."""
        for what, look in (("QEMU", lambda: self.qmp.execute("query-status", timeout=5)),
                           ("block", lambda: self.qmp.execute("query-blockstats", timeout=5)),
                           ("serial lines", lambda: self.qmp.execute("query-chardev", timeout=5)),
                           ("guest", lambda: self.ask("stats", timeout=5))):
            try:
                found = look()
            except (GuestError, OSError, AttributeError) as silence:
                found = silence
            print(f"{self.name}: at the failure, {what}: {found}", file=sys.stderr, flush=True)

    def _listen(self, suffix):
        path = str(self.path(suffix))
        if len(path.encode()) > 107:
            raise GuestError(f"{path}: too long for a unix socket (107 bytes); use a run directory "
                             "nearer to the root")
        if self.path(suffix).exists():
            if self._alive():
                raise GuestError(f"{path}: QEMU {self.pid} still runs there; end it first, or "
                                 "use another name")
            self.path(suffix).unlink()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(path)
        listener.listen(4)
        return listener

    def _connect(self):
        self.qmp = Qmp(self.name, self.path("own-qmp"), self.hint)

    def _alive(self):
        if self._process:
            return self._process.poll() is None
        if self._pidfd is not None:
            return not select.select([self._pidfd], [], [], 0)[0]
        return self._pid_in_file() is not None

    def _pid_in_file(self):
        """The QEMU that holds this name, if one does. The number alone proves nothing, it may be
        another process's by now: only ours has the file's path among its arguments."""
        try:
            pid = int(self.path("pid").read_text())
            command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        return pid if str(self.path("pid")).encode() in command else None

    def _wait_gone(self, timeout):
        if self._process:
            try:
                self._process.wait(timeout)
                return
            except subprocess.TimeoutExpired:
                pass
        elif select.select([self._pidfd], [], [], timeout)[0]:
            return
        raise GuestError(f"{self.name}: QEMU did not end within {timeout:g} s; a disk may be "
                         f"holding it. {self.hint}")


def _characters(listeners, console_log):
    def chardev(suffix, more=""):
        return ["-chardev", f"socket,id={suffix},fd={listeners[suffix].fileno()},server=on,"
                            f"wait=off{more}"]

    return [
        *chardev("qmp"), "-mon", "chardev=qmp,mode=control",
        *chardev("own-qmp"), "-mon", "chardev=own-qmp,mode=control",
        *chardev("console", f",logfile={console_log},logappend=on"),
        "-device", "isa-serial,chardev=console,index=0",
        *chardev("agent"), "-device", "isa-serial,chardev=agent,index=1",
        # By default it would share its edge-triggered interrupt with the console.
        *chardev("acks"), "-device", "isa-serial,chardev=acks,index=2,irq=5",
    ]

