"""`python -m tests.fuzz`: damage files by numbers, and see that nothing but InputError comes of it."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.fuzz.harness import describe, fuzz
from tests.fuzz.targets import TARGETS


def main() -> int:
    """Return 1 where a mutation failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--mutations", type=int, default=20_000, help="of all targets together")
    parser.add_argument("--first", type=int, default=0, help="number of the first of each target")
    parser.add_argument("--targets", nargs="*", help=f"some of {', '.join(t.name for t in TARGETS)}")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--kept", type=Path, default=Path(".fuzz"), help="where inputs that fail are kept")
    asked = parser.parse_args()
    targets = [t for t in TARGETS if not asked.targets or t.name in asked.targets]
    each = -(-asked.mutations // len(targets))
    with tempfile.TemporaryDirectory(prefix="landshift-fuzz-") as folder:
        tallies = fuzz(targets, range(asked.first, asked.first + each), Path(folder), kept=asked.kept, jobs=asked.jobs)
    print("\n".join(describe(tallies)))
    return int(any(tally.failures for tally in tallies.values()))


if __name__ == "__main__":
    sys.exit(main())
