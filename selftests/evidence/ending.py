# SPDX-License-Identifier: GPL-2.0
"""What holds at the end of each boot, whatever ran in it."""

from vtdlab.evidence import klog


def ending(evidence, stays_on=False):
    """Translation is off when the machine is reset or switched off, unless it has to stay on."""
    for unit, trace in evidence.by_unit(evidence.trace):
        on = trace.translation()
        if on and stays_on:
            yield f"{unit}: translation is on at the end", "" if on[-1] else f"the trace has {on}"
        elif on:
            yield f"{unit}: translation is off at the end", (
                "the trace has it still on" if on[-1] else "")


def watchers(evidence):
    """The checks of the debug kernel were enabled to the end, and found nothing."""
    watch = (evidence.records.of("watch") or [None])[-1]
    lost = "".join(f"\n{record['line']}" for record in evidence.records.of("leak"))
    for what, wanted in (("locks", "lock debugging was on to the end"),
                         ("leaks", "no memory is leaked")):
        found = watch[what] if watch else ""
        good = {"locks": "1", "leaks": "0"}[what]
        said = f"the guest says {what}={found or '?'}; see console.log"
        yield wanted, "" if found == good else said + (lost if what == "leaks" else "")


def races(evidence):
    """KCSAN watched the driver's own accesses, and no race contains one."""
    said = evidence.records.of("races")
    for what, wanted in (("calls", "the driver's accesses are reported to KCSAN"),
                         ("watched", "KCSAN watched some of all accesses")):
        good = said and said[-1].number(what)
        yield wanted, "" if good else f"the guest says {what}={said[-1][what] if said else '?'}"
    ours = [report for report in klog.races(evidence.console)[0]
            if any("[vtd]" in line for line in report)]
    yield "no data race in the driver", "\n\n".join("\n".join(report) for report in ours)
