#!/usr/bin/python3
"""Goal: what README.md tells a new user works, line by line.
Method: its commands are taken out of it and run as they stand, on two hosts made of namespaces: each
has its own network, name, /etc/baton, /run and /var/lib. Only the lines that install and build are
left out; whoever runs this has built."""
import json
import os
import pathlib
import shlex
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import baton_test  # noqa: E402

README = baton_test.SOURCE_DIR / "README.md"


def blocks(section):
    """The indented blocks of a section, in order."""
    text = README.read_text().split(f"\n## {section}\n", 1)[1].split("\n## ", 1)[0]
    found, block = [], []
    for line in [*text.splitlines(), "end"]:
        if line.startswith("    "):
            block.append(line[4:])
        elif line.strip() or not block:
            if block:
                found.append("\n".join(block).rstrip() + "\n")
            block = []
        else:
            block.append("")
    return found


def inline(section, starting):
    """The commands between backquotes that begin so, in order."""
    text = README.read_text().split(f"\n## {section}\n", 1)[1].split("\n## ", 1)[0]
    parts = " ".join(text.split()).split("`")[1::2]
    return [part for part in parts if part.startswith(starting)]


class Host:
    """A host of its own: network, name, /etc/baton, /run and /var/lib."""

    def __init__(self, case, name, address):
        self.case, self.name, self.address = case, name, address
        self.namespace = f"baton-{name}-{os.getpid()}"
        baton_test.run(["ip", "netns", "add", self.namespace])
        case.addCleanup(baton_test.run, ["ip", "netns", "del", self.namespace], check=False)
        root = case.folder / name
        for folder in ("etc", "run", "lib"):
            (root / folder).mkdir(parents=True)
        baton_test.run(["cp", "-a", "/etc/.", root / "etc"])
        (root / "etc" / "baton").mkdir(exist_ok=True)
        self.images = root / "lib"
        # Bind mounts in a mount namespace of its own; they end with the process.
        setup = (f"mount --bind {root}/etc /etc && mount --bind {root}/run /run && "
                 f"mount --bind {root}/lib /var/lib && hostname {name} && echo ready && "
                 "exec sleep infinity")
        self.anchor = case.start(["ip", "netns", "exec", self.namespace, "unshare", "--mount",
                                  "--uts", "bash", "-c", setup], name=f"host-{name}")
        self.anchor.wait_for_line("^ready$")

    def plug(self, device):
        baton_test.run(["ip", "link", "set", device, "netns", self.namespace])
        for words in (["link", "set", "lo", "up"], ["addr", "add", f"{self.address}/24", "dev", device],
                      ["link", "set", device, "up"]):
            baton_test.run(["ip", "-n", self.namespace, *words])

    def _enter(self, script):
        path = f"{baton_test.BUILD_DIR}:{os.environ['PATH']}"
        return ["nsenter", f"--target={self.anchor.pid}", "--mount", "--uts", "--net",
                "env", f"PATH={path}", "bash", "-euc", script]

    def run(self, script, **options):
        return baton_test.run(self._enter(script), **options)

    def start(self, script, name):
        return self.case.start(self._enter(f"exec {script}"), name=f"{name}-{self.name}")


@baton_test.requires_root("two hosts made of namespaces")
@baton_test.requires_programs("ip", "unshare", "nsenter", "qemu-system-x86_64", "qemu-io", "qemu-img", "nbdinfo")
class Walk(baton_test.TestCase):
    timeout_seconds = 240

    def setUp(self):
        super().setUp()
        baton_test.program("batond")
        self.daemons = {}

    def make_hosts(self):
        hosts = [Host(self, "alpha", "10.0.0.1"), Host(self, "beta", "10.0.0.2")]
        ends = [f"bt{os.getpid()}{side}" for side in "ab"]
        baton_test.run(["ip", "link", "add", ends[0], "type", "veth", "peer", "name", ends[1]])
        for host, end in zip(hosts, ends):
            host.plug(end)
        return hosts

    def prepare(self, hosts, change=lambda text: text):
        """The file on both hosts, create-md and the daemons, as the section says."""
        _, toml, both, *_ = blocks("A first resource on two hosts")
        *commands, daemon = both.splitlines()
        self.assertTrue(daemon.startswith("batond "), daemon)
        for host in hosts:
            (self.folder / host.name / "etc" / "baton" / "vm1.toml").write_text(change(toml))
            host.run("\n".join(commands))
            self.start_daemon(host, daemon)

    def start_daemon(self, host, command="batond --config /etc/baton"):
        self.daemons[host] = host.start(command, "batond")
        self.daemons[host].wait_for_line(r" ready: ")

    def stop_daemon(self, host):
        self.assertEqual(self.daemons[host].stop(), 0, self.daemons[host].log_tail())

    def wait_primary(self, host):
        self.wait_for(lambda: host.run("batonctl status vm1").stdout.startswith("vm1  Primary"),
                      f"{host.name} to be Primary")

    def test_two_hosts_and_a_guest_that_moves(self):
        alpha, beta = self.make_hosts()
        self.prepare([alpha, beta])
        *_, once, guest, move = blocks("A first resource on two hosts")
        for line in once.splitlines():
            shown = alpha.run(line).stdout
        self.assertIn("Connected", shown)
        self.assertEqual(shown.count("UpToDate"), 2, shown)
        source = alpha.start(guest, "qemu")
        self.wait_for((self.folder / "alpha/run/baton/vm1.qmp").exists, "the guest's QMP socket")
        self.wait_for(lambda: "client" in alpha.run("batonctl status vm1 --json").stdout, "the guest")
        beta.start(guest.rstrip() + " -incoming defer", "qemu")
        self.wait_for((self.folder / "beta/run/baton/vm1.qmp").exists, "the destination's socket")
        alpha.run(move, timeout=90)
        source.wait(30)
        self.wait_primary(beta)

    def test_failing_over_by_hand(self):
        alpha, beta = hosts = self.make_hosts()
        self.prepare(hosts)
        for line in blocks("A first resource on two hosts")[3].splitlines():
            alpha.run(line)
        section = "Failing over by hand"
        verbs = inline(section, "batonctl ")
        self.assertEqual([verb.split()[1] for verb in verbs],
                         ["handover", "secondary", "primary", "primary", "handover", "primary",
                          "resume-io", "attach", "detach", "secondary", "resolve", "undo-list"])
        (handover, secondary, primary, lift, allow, force, resume_io, attach, detach, give_up,
         resolve, undo_list) = verbs
        (undo_read,) = inline(section, "undo-read ")
        (undo_export,) = inline(section, "undo-export ")
        alpha.run(handover)
        self.wait_primary(beta)
        beta.run(secondary)
        alpha.run(primary)
        self.wait_primary(alpha)
        alpha.run(lift)
        beta.run(allow)

        write = "qemu-io -f raw 'nbd+unix:///vm1?socket=/run/baton/vm1.sock' -c 'write -P {} {} 64k' -c flush"
        alpha.run(detach)
        alpha.run(write.format(1, "0"))
        alpha.run(attach)
        self.wait_for(lambda: "UpToDate" in alpha.run("batonctl status vm1").stdout.splitlines()[1],
                      "alpha's disk", 30)
        self.wait_for(lambda: '"holder": "alpha"' in alpha.run("batonctl status vm1 --json").stdout
                      or '"holder":"alpha"' in alpha.run("batonctl status vm1 --json").stdout,
                      "the baton at alpha", 30)
        self.daemons[alpha].kill()
        refused = beta.run(force + " < /dev/null", check=False)
        self.assertNotEqual(refused.returncode, 0, "the risk is named and nobody has answered")
        self.assertIn("two writers", refused.stderr)
        beta.run(f"{force} {inline(section, '--yes')[0]}")
        beta.run(write.format(2, "1M"))
        self.start_daemon(alpha)
        alpha.run("batonctl wait-sync vm1 --timeout 30")
        self.assertIn("Secondary", alpha.run("batonctl status vm1").stdout.splitlines()[0])

        # Both write while they cannot talk.
        self.cut(alpha, "down")
        self.wait_for(lambda: "Connecting" in beta.run("batonctl status vm1").stdout, "the loss", 30)
        self.wait_for(lambda: "Connecting" in alpha.run("batonctl status vm1").stdout, "the loss", 30)
        beta.run(resume_io)  # nothing waits here; where something does: pair_lost_peer_test.py
        beta.run(write.format(3, "2M"))
        alpha.run(f"{force} --yes")
        alpha.run(write.format(4, "3M"))
        self.cut(alpha, "up")
        for host in hosts:
            self.wait_for(lambda: "SPLIT BRAIN" in host.run("batonctl status vm1").stdout,
                          f"split brain on {host.name}", 30)
        alpha.run(give_up)
        alpha.run(resolve.replace("NODE", "beta"))
        for host in hosts:
            host.run("batonctl wait-sync vm1 --timeout 30")
        read = beta.run("qemu-io -f raw 'nbd+unix:///vm1?socket=/run/baton/vm1.sock' "
                        "-c 'read -P 1 0 64k' -c 'read -P 2 1M 64k' -c 'read -P 3 2M 64k' "
                        "-c 'read -P 0 3M 64k'")
        self.assertNotIn("failed", read.stdout)
        (kept,) = json.loads(alpha.run(f"{undo_list} --json").stdout)
        self.assertIn(kept["file"], alpha.run(undo_list).stdout)
        undo_read = undo_read.replace("FILE", kept["file"]).replace("--offset N", "--offset 3145728")
        lost = alpha.run(f"batonctl {undo_read.replace('--length N', '--length 65536')} | od -An -tx1")
        self.assertEqual(set(lost.stdout.split()), {"04", "*"})
        undo_export = undo_export.replace("FILE", kept["file"]).replace("IMAGE", "/var/lib/baton/kept.img")
        alpha.run(f"batonctl {undo_export} && od -An -tx1 -j3145728 -N65536 /var/lib/baton/kept.img | "
                  "grep -q '04 04' && rm /var/lib/baton/kept.img")
        self.stop_daemon(alpha)
        self.stop_daemon(beta)
        # Knows holes: the images are sparse, and 8 GiB.
        baton_test.run(["qemu-img", "compare", "-f", "raw", "-F", "raw",
                        *(host.images / "baton/vm1.img" for host in hosts)])

    def cut(self, host, state):
        device = f"bt{os.getpid()}a"
        baton_test.run(["ip", "-n", host.namespace, "link", "set", device, state])

    def test_encrypted_and_by_certificate(self):
        alpha, beta = hosts = self.make_hosts()
        make, tls, ask = blocks("Encrypted, and by certificate")
        (listener,) = inline("Encrypted, and by certificate", "nbd = ")
        _, before, *_ = blocks("A first resource on two hosts")
        first, volumes = before.split("[tls]\n")[0], "[[volume]]" + before.split("[[volume]]")[1]
        toml = first + tls + volumes.replace('nbd     = ["unix:/run/baton/vm1.sock"]', listener, 1)
        for host in hosts:
            (self.folder / host.name / "etc" / "baton" / "vm1.toml").write_text(toml)
        alpha.run(f"cd {self.folder} && {make}")
        for host in hosts:
            host.run(f"cp -r {self.folder}/certs/{host.name} /etc/baton/tls")
        self.prepare(hosts, lambda _: toml)
        alpha.run("batonctl wait-connect vm1 --timeout 30 && batonctl primary vm1 --force && "
                  "batonctl wait-sync vm1 --timeout 30")
        self.assertIn("TLS", beta.run(ask).stdout)
        self.assertNotEqual(beta.run("nbdinfo nbd://10.0.0.1/vm1", check=False).returncode, 0)

    def test_adopting_an_image(self):
        alpha, beta = hosts = self.make_hosts()
        (alpha.images / "baton").mkdir()
        image = alpha.images / "baton" / "vm1.img"
        content = os.urandom(1 << 20) + bytes(7 << 20)
        image.write_bytes(content)
        (stat,) = inline("Adopting an existing raw image", "stat ")
        size = alpha.run(f"cd /var/lib/baton; {stat}").stdout.strip()
        self.prepare(hosts, lambda text: text.replace('"8GiB"', f'"{size}"'))
        (primary,) = blocks("Adopting an existing raw image")
        alpha.run("batonctl wait-connect vm1 --timeout 30")
        alpha.run(primary)
        alpha.run("batonctl wait-sync vm1 --timeout 30")
        self.stop_daemon(beta)
        self.stop_daemon(alpha)
        self.assertEqual(image.read_bytes(), content)
        self.assertEqual((beta.images / "baton" / "vm1.img").read_bytes(), content)

    def test_one_host(self):
        first, second = blocks("A first resource on one host")
        (alpha,) = [Host(self, "alpha", "10.0.0.1")]
        folder = self.folder / "first"
        alpha.run(f"mkdir -p {folder}")
        change = lambda text: "\n".join(  # noqa: E731
            line.replace("/tmp/first", str(folder)) for line in text.splitlines()
            if not line.startswith("export PATH"))
        *setup, daemon = change(first).splitlines()
        alpha.run("\n".join(setup))
        process = alpha.start(daemon, "batond")
        process.wait_for_line(r" ready: ")
        for line in change(second).splitlines():
            shown = alpha.run(line).stdout
        self.assertNotIn("failed", shown)
        self.assertEqual(process.stop(), 0)


if __name__ == "__main__":
    baton_test.main()
