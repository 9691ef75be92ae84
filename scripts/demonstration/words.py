"""What the demo prints: the line of a move, the table, what to try next."""
import shlex

MIB = 1 << 20


def milliseconds(value):
    if value is None:
        return "-"
    return f"{value:.1f} ms" if value < 10 else f"{value:.0f} ms"


def of_move(move):
    figures = move.figures
    return (f"done in {figures['total-ms'] / 1000:.1f} s; the guest paused for "
            f"{milliseconds(figures.get('guest-pause-ms'))}")


def table(moves, written, replicated, seconds):
    head = ("migration", "guest pause", "storage's part", "seen from outside", "memory", "total",
            "result")
    rows = [head]
    for move in moves:
        figures = move.figures
        rows.append((f"{figures['source']} -> {figures['destination']}",
                     milliseconds(figures.get("guest-pause-ms")),
                     milliseconds(figures.get("storage-offer-ms")),
                     milliseconds(move.outside_ms),
                     f"{figures['ram-bytes'] / MIB:.0f} MiB", f"{figures['total-ms'] / 1000:.1f} s",
                     "ok"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ["", *("   ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
                   for row in rows)]
    lines += ["", f"{len(moves)} migrations, {written['records']} records written with fsync, "
                  f"{replicated / MIB:.1f} MiB replicated, in {seconds:.0f} s",
              "result: nothing lost, nothing changed: guest, both images and their comparison agree"]
    return "\n".join(lines)


def to_try(root, pair, guest_dir):
    def quoted(words):
        return shlex.join(str(word) for word in words)

    guest = root / "tests" / "migration" / "guest" / "guest.py"
    start = [guest, "start", "--guest", guest_dir, "--run", pair.folder, "--name", "beta", "--disk",
             pair.uri("beta"), "--incoming"]
    pids = " ".join(str(pair.daemon_pid(name)) for name in ("alpha", "beta"))
    return "\n".join([
        "", "Left running: batond on alpha and beta, the guest on alpha.",
        f"  alpha (Primary):   {pair.uri('alpha')}",
        f"  beta (Secondary):  {pair.uri('beta')}",
        "", "Try next:",
        f"  {quoted(pair.command('alpha', 'status'))}",
        f"  nbdinfo {shlex.quote(pair.uri('beta'))}",
        f"  {quoted(start)}",
        f"  {quoted(pair.command('alpha', 'migrate', 'vm1'))}",
        f"  {quoted([guest, 'ask', '--run', pair.folder, '--name', 'beta', 'stats'])}",
        "", "To end it (NODE: where the guest is):",
        f"  {quoted([guest, 'end', '--run', pair.folder, '--name'])} NODE",
        f"  kill {pids} && rm -r {shlex.quote(str(pair.folder))}"])
