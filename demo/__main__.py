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
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(SystemExit):
    """By a signal, whose number this is. Of SystemExit's kind, which asyncio lets through."""


def end_at_signals() -> None:
    """The first one ends the run, wherever it is. More of them, as from make and a terminal at once, must not end the
    ending, which stops what was started."""

    def end(number: int, _: object) -> None:
        for each in ENDING:
            signal.signal(each, lambda *_: None)
        raise Ended(number)

    for each in ENDING:
        signal.signal(each, end)


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
    end_at_signals()
    try:
        status = _run(options, folder, report)
    except HooatsError as error:
        print(f"\ndemo: {error}", file=sys.stderr)
        report.finish()
        return 1
    except Ended as end:
        return _ended(int(str(end.code)), report, folder)
    if status == 0 and options.folder is None:
        shutil.rmtree(folder, ignore_errors=True)
    return status


def _run(options: argparse.Namespace, folder: Path, report: Report) -> int:
    if options.flow is not None:
        flow = read(options.flow, TRADERS)
    else:
        flow = generate(options.seed, options.orders, FLOW_MILLIS * options.orders // ORDERS, TRADERS)
    settings = Options(folder=folder.resolve(), seed=options.seed, stay=options.stay, has_fills=options.flow is None)
    return asyncio.run(Job(settings, report).run(flow))


def _ended(number: int, report: Report, folder: Path) -> int:
    """The sentence at the end, and the exit status: that of the report, if that was all that was left to do."""
    where = "before it was done" if report.verdict is None else "while it stayed"
    name = signal.Signals(number).name
    print(f"\ndemo: ended by {name} {where}; all that it had started is stopped, logs and state are in {folder}")
    return 128 + number if report.verdict is None else int(not report.verdict)


if __name__ == "__main__":
    raise SystemExit(main())
