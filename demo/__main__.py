"""`python -m demo`: runs the main job and prints its report. See `make demo`."""

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from demo.flow import generate, read
from demo.job import TRADERS, Job, Options
from demo.report import Report
from offchain.domain.errors import HooatsError

ORDERS = 2_000
FLOW_MILLIS = 32_000


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m demo", description="A whole exchange on this machine.")
    parser.add_argument("--stay", action="store_true", help="leave everything running at the end, print addresses")
    parser.add_argument("--flow", type=Path, help="flow file to play instead of the generated flow (docs/flow.md)")
    parser.add_argument("--seed", type=int, default=7, help="seed of the generated flow and of the keys")
    parser.add_argument("--orders", type=int, default=ORDERS, help="orders of the generated flow")
    parser.add_argument("--folder", type=Path, default=None, help="where to keep state and logs; kept if given")
    options = parser.parse_args()
    # Not in the checkout, where the sequencer's socket could have too long a path.
    folder = options.folder or Path(tempfile.mkdtemp(prefix="hooats-demo-"))
    report = Report()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if options.flow is not None:
            flow = read(options.flow, TRADERS)
        else:
            flow = generate(options.seed, options.orders, FLOW_MILLIS * options.orders // ORDERS, TRADERS)
        job = Job(
            Options(folder=folder.resolve(), seed=options.seed, stay=options.stay, has_fills=options.flow is None),
            report,
        )
        status = asyncio.run(job.run(flow))
        if status == 0 and options.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
        return status
    except HooatsError as error:
        print(f"\ndemo: {error}", file=sys.stderr)
        report.finish()
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
