# SPDX-License-Identifier: GPL-2.0
"""Where the instructions of one operation go, function by function.

QEMU counts every instruction of the guest's kernel between two marks that the
bench module puts around the operation; the symbol tables name them, and
objdump shows them one by one.
"""

import bisect
import dataclasses
import re
import subprocess

from vtdlab.bench import guests
from vtdlab.errors import LabError

SHOWN = 40
LISTED = 12
TOOL_TIMEOUT = 120
WITNESS = "iommu_map"
# The works of bench/workload.rs, and all that can be profiled.
WORKS = ("4K", "16x4K", "256x4K", "2M", "256x2M", "1G", "4K-hole", "4K-sparse", "mixed")
# The rows of bench/dma.rs.
DMA = ("1", "16", "512", "different", "scattered")
ROWS = ("attach", "load", *(f"{work} {operation}{attached}" for work in WORKS
                            for operation in ("map", "unmap") for attached in ("", " attached")),
        *(f"dma {work} {operation}" for work in DMA for operation in ("map", "unmap")))
# Functions of the kernel between which a driver starts: the in-tree driver's own
# initcall, and the next after the guest is about to load ours.
START = {"intree": "pci_iommu_init", "vtd": "do_one_initcall"}
STARTED = "trace_initcall_finish_cb"
INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\t")
HEADER = re.compile(r"^([0-9a-f]+) <(.*)>:$")


@dataclasses.dataclass(frozen=True)
class Symbol:
    """A function and where the guest had it."""

    at: int
    name: str
    module: str = ""        # "" for the kernel's own


@dataclasses.dataclass
class Function:
    """What one function took in all windows together."""

    symbol: Symbol
    places: dict            # offset in the function: times executed
    total: int = 0


def profile(bench, row, driver, out, mode="strict"):
    """(functions, windows) of one row such as "4K map", the costliest first."""
    out.mkdir(parents=True, exist_ok=True)
    start = _start(bench.bed.kernel, driver) if row == "load" else ""
    records = bench.run(driver, "profile", out, timeout=900, mode=mode,
                        extra=(*guests.COUNTING, *plugin(out, start)),
                        append=[f"guest.row={row.replace(' ', ',')}",
                                *(guests.TIMED_START if start else ())])
    windows, places = counts(out, records.of("profile")[0].number("windows"))
    return by_function(places, _symbols(records, bench.bed.kernel)), len(windows)


def plugin(out, more=""):
    """Returns QEMU's arguments that load the profiler; it writes its counts to this folder."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "counts").unlink(missing_ok=True)
    return "-plugin", f"{guests.plugin()},out={out / 'counts'}{more}"


def _start(kernel, driver):
    """Returns the window around the driver's start, for the profiler."""
    at = {symbol.name: symbol.at for symbol in _own_symbols(kernel)}
    wanted = (START[driver], STARTED)
    for name in wanted:
        if name not in at:
            raise LabError(f"The kernel has no function {name}, between which and another the "
                           f"start of a driver is counted; see {kernel.kdir}/System.map.")
    first, last = (f"{at[name]:x}" for name in wanted)
    return f",from={first},until={last}" + (",boot=on" if driver == "intree" else "")


def counts(out, opened):
    """Returns (sums, {address: count}) of the `opened` windows of a guest that has ended."""
    path = out / "counts"
    if not path.exists():
        raise LabError(f"QEMU's profiler left no counts; see {out}/qemu.log.")
    lines = [line.split() for line in path.read_text(encoding="ascii").splitlines()]
    windows = [int(count) for word, count in lines if word == "window"]
    if len(windows) != opened:
        raise LabError(f"The profiler saw {len(windows)} windows, but the guest opened {opened}.")
    return windows, {int(at, 16): int(count) for at, count in lines if at != "window"}


def _own_symbols(kernel):
    own = []
    with open(kernel.kdir / "System.map", encoding="ascii") as file:
        for at, kind, name in (line.split() for line in file):
            if kind in "tTwW":
                own.append(Symbol(int(at, 16), name))
    return own


def _symbols(records, kernel):
    recorded = [Symbol(int(r["at"], 16), r["name"], r["module"].strip("[]"))
            for r in records.of("symbol")]
    own = _own_symbols(kernel)
    if [s for s in recorded if not s.module] != [s for s in own if s.name == WITNESS]:
        raise LabError(f"{WITNESS} is not where {kernel.kdir}/System.map has it, so the profile "
                       "cannot be read; is the kernel's address randomised?")
    return own + [symbol for symbol in recorded if symbol.module]


def by_function(places, symbols):
    """Adds up the counts of addresses by the last symbol before each."""
    symbols = sorted(symbols, key=lambda symbol: symbol.at)
    starts = [symbol.at for symbol in symbols]
    found = {}
    for address, count in places.items():
        index = bisect.bisect_right(starts, address) - 1
        symbol = symbols[index] if index >= 0 else Symbol(0, "unknown")
        function = found.setdefault(symbol.at, Function(symbol, {}))
        function.places[address - symbol.at] = count
        function.total += count
    return sorted(found.values(), key=lambda function: -function.total)


def demangled(names):
    """Returns Rust's names as they are written in the source."""
    done = subprocess.run(["c++filt", "-s", "rust"], input="\n".join(names), text=True,
                          check=True, capture_output=True, timeout=TOOL_TIMEOUT)
    return dict(zip(names, (re.sub(r"\[[0-9a-f]{10,}\]", "", line)
                            for line in done.stdout.split("\n"))))


def text(functions, windows, title, shown=None):
    """Returns the list of one driver, or its first lines."""
    names = demangled([function.symbol.name for function in functions])
    total = sum(function.total for function in functions)
    lines = [f"{title}: {total / windows:.1f} instructions per operation"]
    for function in functions[:shown]:
        module = f"  [{function.symbol.module}]" if function.symbol.module else ""
        lines.append(f"{function.total / windows:9.1f}  {100 * function.total / total:5.1f} %  "
                     f"{names[function.symbol.name]}{module}")
    return "\n".join(lines)


def listing(functions, windows, files):
    """Returns the costliest functions' instructions, each with how often it was executed.

    `files` names the object that holds each module's code, "" being the kernel.
    """
    parts = []
    for function in functions[:LISTED]:
        path = files.get(function.symbol.module)
        if path:
            parts.append(_annotated(function, windows, path))
    return "\n".join(parts)


def _annotated(function, windows, path):
    name = function.symbol.name
    done = subprocess.run(["objdump", "-dr", "--no-show-raw-insn", f"--disassemble={name}", path],
                          check=True, capture_output=True, text=True, timeout=TOOL_TIMEOUT)
    start, lines = None, []
    for line in done.stdout.splitlines():
        if found := HEADER.match(line):
            start = int(found[1], 16)
            lines.append(f"{function.total / windows:9.1f}  {name}:")
        elif start is not None:
            place = INSTRUCTION.match(line)
            count = function.places.get(int(place[1], 16) - start, 0) if place else 0
            line = line.replace(f"<{name}+", "<+")
            lines.append(f"{count / windows:9.2f}  {line}" if count else f"{'':9}  {line}")
    return "\n".join(lines) + "\n"
