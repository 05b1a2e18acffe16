"""What `/proc/stat` says: CPU time, scheduling, boot time."""

from exporters.catalog import HOST_FAMILIES
from exporters.families import FamilySet
from exporters.host.tree import HostTree

# In the order of the columns. Guest time, which follows, is left out: the kernel counts it in user and nice as well.
_MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
# Where a line has more than one number, the first is the total.
_NUMBERS = {
    "ctxt": "host_context_switches_total",
    "intr": "host_interrupts_total",
    "processes": "host_processes_created_total",
    "procs_running": "host_processes_running",
    "procs_blocked": "host_processes_blocked",
    "btime": "host_boot_time_seconds",
}


def cpu(tree: HostTree) -> FamilySet:
    """Give the seconds of each logical CPU by mode, and the kernel's other totals of this file."""
    out = FamilySet(HOST_FAMILIES)
    text = tree.proc("stat")
    cpus = 0
    with tree.parsing("stat"):
        for line in text.splitlines():
            key, _, rest = line.partition(" ")
            if key in _NUMBERS:
                out.add(_NUMBERS[key], int(rest.partition(" ")[0]))
            elif key.startswith("cpu") and key != "cpu":
                cpus += 1
                for mode, ticks in zip(_MODES, rest.split(), strict=False):
                    out.add("host_cpu_seconds_total", int(ticks) / tree.ticks_per_second, key[3:], mode)
    out.add("host_cpus", cpus)
    return out
