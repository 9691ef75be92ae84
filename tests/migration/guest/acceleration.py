"""Which accelerator QEMU can really use here.

/dev/kvm may exist, open, and then never run a guest's first instruction (a nested machine without
nested virtualisation). So nobody is asked: a kernel is booted with it, and either its first line
comes in time or the answer is tcg.
"""

import functools
import os
import select
import subprocess

# A kernel that runs prints within 1 s; a loaded machine may take a few.
PROBE_SECONDS = 5


@functools.cache
def accelerator(kernel):
    """"kvm" or "tcg". Asked once per process; BATON_GUEST_ACCEL=kvm|tcg answers beforehand, and is
    set for child processes by the first probe."""
    told = os.environ.get("BATON_GUEST_ACCEL")
    if told in ("kvm", "tcg"):
        return told
    usable = os.access("/dev/kvm", os.R_OK | os.W_OK) and _prints_with_kvm(str(kernel))
    answer = "kvm" if usable else "tcg"
    os.environ["BATON_GUEST_ACCEL"] = answer
    return answer


def _prints_with_kvm(kernel):
    probe = subprocess.Popen(
        ["qemu-system-x86_64", "-accel", "kvm", "-cpu", "host", "-m", "96", "-nodefaults",
         "-no-user-config", "-display", "none", "-no-reboot", "-kernel", kernel,
         "-append", "console=ttyS0 earlyprintk=ttyS0 panic=-1", "-serial", "stdio"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        ready, _, _ = select.select([probe.stdout], [], [], PROBE_SECONDS)
        return bool(ready and os.read(probe.stdout.fileno(), 1))  # nothing: QEMU refused at once
    finally:
        probe.kill()
        probe.stdout.close()
        try:
            probe.wait(5)
        except subprocess.TimeoutExpired:
            pass  # stuck inside the kernel's KVM: it ends when the kernel lets go of it
