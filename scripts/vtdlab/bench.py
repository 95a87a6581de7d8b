# SPDX-License-Identifier: GPL-2.0
"""`make bench`: this driver beside the kernel's own.

The same kernel, initramfs and QEMU line for both; rows with ratios go to
out/bench/results.csv and to the terminal.
"""

from vtdlab import cache as lab
from vtdlab import (benchdescriptors, benchdma, benchguest, benchinstructions, benchmemory,
                    benchprofile, benchtable, kernel)

# By what is measured together; a row says itself which section it belongs to.
SECTIONS = {"instructions": benchinstructions.measure, "descriptors": benchdescriptors.measure,
            "dma-api": benchdma.measure, "memory": benchmemory.memory,
            "growth": benchmemory.growth}


def add_arguments(parser):
    """Without options, every section."""
    parser.add_argument("--series", choices=kernel.SERIES, help="kernel series")
    parser.add_argument("--section", choices=SECTIONS, action="append",
                        help="only this section; may be repeated")
    parser.add_argument("--profile", metavar="ROW",
                        help='functions that a row of the instructions goes to, such as "4K map"')
    parser.add_argument("--driver", choices=benchguest.DRIVERS,
                        help="with --profile, only this driver")


def main(args):
    """The exit status says whether it was measured, not who was faster."""
    out = lab.checkout() / "out/bench"
    bench = benchguest.get(args.series)
    if args.profile:
        return _profile(bench, args, out / "profile")
    for name in args.section or SECTIONS:
        rows = SECTIONS[name](bench, out)
        table = benchtable.text(rows)
        benchtable.write(out / "results.csv", rows)
        (out / f"{name}.txt").write_text(table + "\n", encoding="utf-8")
        print(f"\n{table}\n")
    print(f"  the figures are in {(out / 'results.csv').relative_to(lab.checkout())}")
    return 0


def _profile(bench, args, out):
    parts = []
    slug = args.profile.replace(" ", "-")
    files = {"": bench.bed.kernel.kdir / "vmlinux", "vtd": bench.bed.vtd}
    for driver in [args.driver] if args.driver else benchguest.DRIVERS:
        functions, windows = benchprofile.profile(bench, args.profile, driver, out / driver)
        parts.append(benchprofile.text(functions, windows,
                                       f"{args.profile}, {benchguest.NAMES[driver]}"))
        (out / f"{slug}-{driver}.lst").write_text(
            benchprofile.listing(functions, windows, files), encoding="utf-8")
    text = "\n\n".join(parts) + "\n"
    (out / f"{slug}.txt").write_text(text, encoding="utf-8")
    print(f"\n{text}\n  {out.relative_to(lab.checkout())}/{slug}-*.lst: the instructions one by one")
    return 0
