"""Settings of a long-running process that have nothing to do with its work."""

import gc

ALLOCATIONS_MAX = 50_000
"""Container objects made before a young collection; Python's 700 are used up by every batch dozens of times."""


def settle_garbage_collector() -> None:
    """Make cyclic garbage collection rare and keep it away from what lives as long as the process.

    Call once, when everything is imported and opened. Batches make tens of thousands of short-lived objects
    that reference counting frees; looking for cycles among them cost a sixth of a posting process's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(ALLOCATIONS_MAX, 20, 100)
