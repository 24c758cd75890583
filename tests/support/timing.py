"""How long things take: the least of several tries, and whether two kinds can be told apart by it."""

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations


def least_cpu(call: Callable[[], object], *, tries: int = 9) -> float:
    """The least CPU seconds of several calls: the others may hold the collector's work, or a neighbour's."""
    spent = []
    for _ in range(tries):
        started = time.process_time()
        call()
        spent.append(time.process_time() - started)
    return min(spent)


def measured(
    kinds: Mapping[str, Callable[[], object]], *, requests: int, seed: int
) -> dict[str, list[float]]:
    """Seconds for each of so many requests of every kind, in random order, the slowest twentieth left out."""
    order = [name for name in kinds for _ in range(requests)]
    random.Random(seed).shuffle(order)
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for name in order:
        started = time.perf_counter()
        kinds[name]()
        times[name].append(time.perf_counter() - started)
    return {name: sorted(seconds)[: len(seconds) * 19 // 20] for name, seconds in times.items()}


def welch(one: Sequence[float], other: Sequence[float]) -> float:
    """Welch's t of two samples: beyond 4.5 either way they differ in all likelihood."""
    means = [sum(sample) / len(sample) for sample in (one, other)]
    errors = [
        sum((value - mean) ** 2 for value in sample) / (len(sample) - 1) / len(sample)
        for sample, mean in zip((one, other), means, strict=True)
    ]
    return (means[0] - means[1]) / math.sqrt(sum(errors))


def worst(times: Mapping[str, Sequence[float]]) -> tuple[float, str]:
    """The largest difference between any two kinds, as Welch's t, and which two they are."""
    return max(
        (abs(welch(times[one], times[other])), f"{one} / {other}") for one, other in combinations(times, 2)
    )
