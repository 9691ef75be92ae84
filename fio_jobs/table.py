"""Medians of the repeats, ratios, and the table as text or Markdown."""
import statistics

METRICS = ("iops", "mean_us", "p99_us", "cpu_us")
HEADER = ("contender", "IOPS", "mean µs", "p99 µs", "CPU µs/request", "IOPS ratio", "latency ratio",
          "against")

# What Baton owes: (contender, against, places, part of the row's name, metric, at least or at most)
FLOORS = [
    ("Baton alone", "qemu-nbd", None, "", "iops", ">=", 1.0),
    ("Baton pair, C", "quorum", "tmpfs", "4 KiB random write, depth 16", "iops", ">=", 1.5),
    ("Baton pair, C", "quorum", "tmpfs", "4 KiB random write, depth 32", "iops", ">=", 1.5),
    ("Baton pair, C", "quorum", "tmpfs", "4 KiB random write, depth 1", "mean_us", "<=", 0.75),
    ("Baton pair, C", "quorum", "disk", "4 KiB random write, depth 16", "iops", ">=", 1.2),
    ("Baton pair, C", "quorum", "disk", "4 KiB random write, depth 32", "iops", ">=", 1.2),
    ("Baton pair, C", "quorum", "disk", "4 KiB random write, depth 1", "mean_us", "<=", 0.8),
]


class Results:
    """Samples by (place, row, contender), in the order in which they first came."""

    def __init__(self):
        self.samples = {}
        self.missing = {}  # (place, contender): reason

    def add(self, place, row, contender, sample):
        self.samples.setdefault((place, row, contender), []).append(sample)

    def misses(self, place, contender, reason):
        """Whoever failed once has no figures: fast and wrong, or fast and gone, is no result."""
        one_line = "; ".join(line.strip() for line in reason.splitlines() if line.strip())
        self.missing.setdefault((place, contender), one_line[:600])
        for key in [key for key in self.samples if key[0] == place and key[2] == contender]:
            del self.samples[key]

    def median(self, place, row, contender, metric):
        values = [sample[metric] for sample in self.samples.get((place, row, contender), [])
                  if sample[metric] is not None]
        return statistics.median(values) if values else None

    def spread(self, place, row, contender):
        """Largest over smallest IOPS of the repeats: how far to trust the median."""
        values = [sample["iops"] for sample in self.samples.get((place, row, contender), [])]
        return max(values) / min(values) if values else None

    def ratio(self, place, row, contender, against, metric):
        ours = self.median(place, row, contender, metric)
        theirs = self.median(place, row, against, metric) if against else None
        return ours / theirs if ours is not None and theirs else None


def number(value):
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def ratio_text(value):
    return "-" if value is None else f"{value:.2f}"


def lines(results, places, rows, contenders):
    """(heading, list of cells) of every place and row."""
    for place in places:
        for row in rows:
            body = []
            for contender in contenders:
                if (place, row, contender.name) not in results.samples:
                    continue
                median = [results.median(place, row, contender.name, metric) for metric in METRICS]
                ratios = [results.ratio(place, row, contender.name, contender.against, metric)
                          for metric in ("iops", "mean_us")]
                body.append((contender.name, *map(number, median), *map(ratio_text, ratios),
                             contender.against or "-"))
            if body:
                yield f"{place}: {row}", body


def as_text(results, places, rows, contenders):
    out = []
    widths = [15, 9, 9, 9, 14, 10, 13, 8]
    for heading, body in lines(results, places, rows, contenders):
        out.append(f"\n{heading}")
        for cells in (HEADER, *body):
            aligned = [cell.ljust(width) if at in (0, 7) else cell.rjust(width)
                       for at, (cell, width) in enumerate(zip(cells, widths))]
            out.append("  " + "  ".join(aligned).rstrip())
    return "\n".join(out)


def as_markdown(results, places, rows, contenders):
    out = ["| where and what | " + " | ".join(HEADER) + " |",
           "|---|---|" + "---:|" * 6 + "---|"]
    for heading, body in lines(results, places, rows, contenders):
        for cells in body:
            out.append(f"| {heading} | " + " | ".join(cells) + " |")
            heading = ""
    return "\n".join(out)


def missing_text(results):
    return [f"missing: {contender} on {place}: {reason}"
            for (place, contender), reason in results.missing.items()]


def floor_lines(results, places, rows):
    """(sentence, kept) for every floor that this run can judge."""
    for contender, against, where, part, metric, sign, bound in FLOORS:
        for place in places:
            for row in rows:
                if where not in (None, place) or (part and row != part):
                    continue
                ratio = results.ratio(place, row, contender, against, metric)
                if ratio is None:
                    continue
                kept = ratio >= bound if sign == ">=" else ratio <= bound
                what = "IOPS" if metric == "iops" else "mean latency"
                yield (f"{'kept  ' if kept else 'MISSED'} {contender} / {against}, {place}, {row}: "
                       f"{what} {ratio:.2f}, wanted {sign} {bound}"), kept


def standing_lines(results, places, rows):
    """(sentence, whether nobody is faster) for Baton's plain export in every row."""
    ours = "Baton alone"
    for place in places:
        for row in rows:
            others = {name: results.median(place, row, name, "iops")
                      for found_place, found_row, name in results.samples
                      if (found_place, found_row) == (place, row) and name != ours}
            if not others or (place, row, ours) not in results.samples:
                continue
            fastest = max(others, key=others.get)
            ratio = results.ratio(place, row, ours, fastest, "iops")
            yield (f"{'ahead ' if ratio >= 1 else 'BEHIND'} {ours}, {place}, {row}: {ratio:.2f} of the "
                   f"fastest other, {fastest}"), ratio >= 1
