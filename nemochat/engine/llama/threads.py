"""How many threads compute."""

from __future__ import annotations

import psutil

SMALL_MODEL = 50_000_000
"""Parameters below which one thread is chosen: a second one gains next to nothing, and when another process holds its core, the
first spins at every operation until it comes back (measured: 75 times slower)."""


def physical_cores() -> int:
    """Physical cores that this process may use, at least 1."""
    process = psutil.Process()
    # macOS has no affinity.
    allowed = len(process.cpu_affinity() or ()) if hasattr(process, "cpu_affinity") else psutil.cpu_count()
    physical = psutil.cpu_count(logical=False) or allowed or 1
    return max(1, min(physical, allowed or physical))
