# SPDX-License-Identifier: GPL-2.0
"""`make bench`: measures this driver and the kernel's own.

Kernel, initramfs and QEMU command line are the same for both; rows with ratios are
written to out/bench/results.csv and to the terminal.
"""

import argparse

from vtdlab import cache as lab
from vtdlab.bench import compared, counted, descriptors, device_tlbs, dma, drawing, figures
from vtdlab.bench import guests, instructions, interrupts, latency, memory, profiles, recording
from vtdlab.bench import timed, units
from vtdlab.build import kernel
from vtdlab.errors import is_none_of

# What is measured together; each row names its section.
COUNTED = {"instructions": instructions.measure, "scalable": instructions.scalable,
           "descriptors": descriptors.measure, "dma-api": dma.measure, "memory": memory.memory,
           "growth": memory.growth, "units": units.count, "device-tlbs": device_tlbs.measure,
           "interrupts": interrupts.measure,
           "work-counted": counted.measure}
TIMED = {"dma-time": timed.dma, "units-time": units.time, "work": timed.work}
# What has a separate table, of more than two guests.
TABLES = {"modes": compared.measure}
TOOLS = ("work-counted", "dma-time", "work", "modes")
ROUNDS = 3


def _rounds(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of rounds; give one from 1 on")
    return int(text)


def _row(text):
    if text not in profiles.ROWS:
        raise argparse.ArgumentTypeError(is_none_of(
            "row", text, profiles.ROWS, "attach, load, and WORK map, WORK unmap, each also "
            f"with 'attached' behind it, for WORK one of {', '.join(profiles.WORKS)}, and dma "
            f"WORK map, dma WORK unmap, for WORK one of {', '.join(profiles.DMA)}"))
    return text


def add_arguments(parser):
    """Adds the options; without them, every section is measured."""
    parser.add_argument("--series", choices=kernel.SERIES, help="kernel series")
    parser.add_argument("--section", choices=[*COUNTED, *TIMED, *TABLES], action="append",
                        help="only this section; may be repeated")
    parser.add_argument("--rounds", type=_rounds, default=ROUNDS, metavar="N",
                        help=f"rounds of what is measured in time (default {ROUNDS})")
    parser.add_argument("--plot", action="store_true", help="only draw what results.csv has")
    parser.add_argument("--record", action="store_true",
                        help="then put figures and plots into Documentation/benchmarks")
    parser.add_argument("--profile", type=_row, metavar="ROW",
                        help='functions that a row of the instructions goes to, such as "4K map", or '
                             '"attach", or "load"')
    parser.add_argument("--driver", choices=guests.DRIVERS,
                        help="with --profile, only this driver")
    parser.add_argument("--mode", choices=guests.MODES, default="strict",
                        help="with --profile, how the guest flushes (default strict)")


def main(args):
    """Measures; the exit status says whether that worked, not which driver was faster."""
    out = lab.checkout() / "out/bench"
    if args.profile:
        return _profile(guests.get(args.series), args, out / "profile")
    results = out / "results.csv"
    figures.read(results)    # a wrong file is reported before hours of measuring
    if args.section or not (args.plot or args.record):
        _measure(args, out)
    rows = figures.read(results)
    plots = drawing.draw(rows, out) + latency.draw(rows, out)
    for path in plots:
        lab.say("plot", path.relative_to(lab.checkout()))
    lab.say("figures", results.relative_to(lab.checkout()))
    if args.record:
        recording.record(out, plots)
    return 0


def _measure(args, out):
    wanted = args.section or [*COUNTED, *TIMED, *TABLES]
    bench = guests.get(args.series, tools=any(name in TOOLS for name in wanted))
    for name in wanted:
        if name in TABLES:
            table = TABLES[name](bench, out, args.rounds)
        else:
            rows = (COUNTED[name](bench, out) if name in COUNTED
                    else TIMED[name](bench, out, args.rounds))
            table = figures.text(rows)
            figures.write(out / "results.csv", rows)
        (out / f"{name}.txt").write_text(table + "\n", encoding="utf-8")
        recording.note(out, name, bench.bed.kernel)
        print(f"\n{table}\n", flush=True)


def _profile(bench, args, out):
    first, all_of_it = [], []
    slug = f"{args.profile} {args.mode}".replace(" ", "-")
    files = {"": bench.bed.kernel.kdir / "vmlinux", "vtd": bench.bed.vtd}
    for driver in [args.driver] if args.driver else guests.DRIVERS:
        functions, windows = profiles.profile(bench, args.profile, driver, out / driver,
                                                   args.mode)
        title = f"{args.profile}, {args.mode}, {guests.NAMES[driver]}"
        first.append(profiles.text(functions, windows, title, profiles.SHOWN))
        all_of_it.append(profiles.text(functions, windows, title))
        (out / f"{slug}-{driver}.lst").write_text(
            profiles.listing(functions, windows, files), encoding="utf-8")
    (out / f"{slug}.txt").write_text("\n\n".join(all_of_it) + "\n", encoding="utf-8")
    print("", *first, sep="\n\n")
    print(f"\n  {out.relative_to(lab.checkout())}/{slug}.txt: all functions; {slug}-*.lst: the "
          "instructions one by one")
    return 0
