"""Documents: how long each kind takes as data and in each format, for a release of a home that exists.

    TUNEGATE_HOME=HOME python -m benchmarks.documents NAME@N --json     # the last line is one JSON object

Reading the records is timed apart from making and writing. Times are wall-clock seconds, the median of some rounds in
one process, after one round that is not counted.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from governance.document.making import form_of, kinds, make, render
from tunegate.documenting import head_of, held
from tunegate.house import House
from tunegate.recording import standing

FORMATS = ("html", "markdown", "json", "pdf")
ROUNDS = 5


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("subject")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found = measure(House.from_environment(), asked.subject)
    if not asked.json:
        for kind, figures in found["kinds"].items():
            print(kind, ", ".join(f"{name} {1000 * value:.0f} ms" for name, value in figures.items()))
    print(json.dumps(found))


def measure(house: House, subject: str) -> dict[str, Any]:
    """Seconds for reading all records of a candidate, and for each kind to be made and written."""
    now, head = standing(house, subject), head_of(house)
    records = held(house, now, head)
    figures = {}
    for kind in kinds():
        if form_of(kind).compares:
            continue
        made = make(kind, records)
        figures[kind] = {"make": seconds(partial(make, kind, records))} | {
            form: seconds(partial(render, made, form)) for form in FORMATS
        }
    return {"events": head.size, "read": seconds(lambda: held(house, now, head)), "kinds": figures}


def seconds(work: Callable[[], object]) -> float:
    """The median of some rounds."""
    work()
    taken = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return round(statistics.median(taken), 5)


if __name__ == "__main__":
    main()
