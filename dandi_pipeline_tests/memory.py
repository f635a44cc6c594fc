"""How much memory a process has held at most, as Linux keeps it for `/proc/self`.

`ru_maxrss` will not do: a process begins with the peak of the one that started it.
"""

from pathlib import Path


def peak_bytes() -> int:
    """Return the most bytes of memory that this process has held since it began, or since `forget_peak()`."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024


def forget_peak() -> int:
    """Begin anew with what is held now, and return it in bytes (`5` in `/proc/pid/clear_refs`, proc(5))."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak_bytes()
