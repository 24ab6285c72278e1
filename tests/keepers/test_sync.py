"""What the sync keeper decides; what it reads is tested with the watcher."""

from keepers.sync import LookAgain, Observation, Report, Warn, decide
from offchain.chain.watcher import Progress


def test_decisions() -> None:
    assert decide(Observation(Progress(10, 9, 3, 0, True), 0.5)) == []
    assert decide(Observation(Progress(10, 9, 5, 2, True), 0.5)) == [Report(5, 9, 2)]
    assert decide(Observation(Progress(500, 9, 5, 0, False), 0.5)) == [LookAgain()]
    (warning,) = decide(Observation(Progress(10, 9, 3, 0, True), 31))
    assert isinstance(warning, Warn)
    assert "31 s" in warning.reason
