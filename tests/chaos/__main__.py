"""`python -m tests.chaos --signals 200 --starved 40`: exit code 1 where something did not hold."""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.child import Source
from tests.chaos.place import VERBS, Place, start_source
from tests.chaos.trials import SIGNALS, STARVED, draw, table_of, try_one, write
from tests.s3_server import Bucket, storing


def main() -> int:
    """Make the place, run the trials, print the table."""
    parser = argparse.ArgumentParser(description="Verbs that are killed, starved and deceived, and then run once more.")
    parser.add_argument("--signals", type=int, default=210, help="trials with SIGKILL or SIGTERM")
    parser.add_argument("--starved", type=int, default=45, help="trials with a full disk, little memory, ...")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbs", nargs="*", default=[v.name for v in VERBS])
    parser.add_argument("--only", type=int, nargs="*", help="numbers of trials")
    parser.add_argument("--out", type=Path, help="counts, and what did not hold, as JSON")
    parser.add_argument("--column", default="now", help="of that file")
    options = parser.parse_args()
    with storing() as bucket:
        bucket.slow_s = 0.01
        os.environ.update(
            AWS_ENDPOINT_URL=bucket.url,
            AWS_ACCESS_KEY_ID="id",
            AWS_SECRET_ACCESS_KEY="secret",
            AWS_REGION="eu",
            AWS_ALLOW_HTTP="true",
        )
        return try_all(options, start_source(), bucket)


def try_all(options: argparse.Namespace, source: Source, bucket: Bucket) -> int:
    """Run the trials, and return the exit code."""
    verbs = [v for v in VERBS if v.name in options.verbs]
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="landshift-chaos-") as folder:
        place = Place(Path(folder), source, bucket)
        began = time.monotonic()
        place.make(verbs)
        for verb in verbs:
            ended = place.alone[verb.name]
            sys.stderr.write(f"{verb.name}: {ended.cpu:.1f} s of CPU, {ended.operations} operations on files\n")
        plans = [draw(options.seed, n, verbs, SIGNALS, place.alone) for n in range(options.signals)]
        plans += [draw(options.seed, n, verbs, STARVED, place.alone) for n in range(options.starved)]
        for plan in plans:
            if options.only and plan.number not in options.only:
                continue
            outcome = try_one(place, plan)
            outcomes.append(outcome)
            if outcome.problems:
                sys.stderr.write(f"{outcome}\n")
            if options.out is not None:
                write(options.out, options.seed, options.column, outcomes)
        sys.stderr.write(f"{time.monotonic() - began:.0f} s\n")
    sys.stdout.write("\n".join(table_of(outcomes)) + "\n")
    return int(any(o.problems for o in outcomes))


if __name__ == "__main__":
    sys.exit(main())
