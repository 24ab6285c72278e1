"""The single writer: commands in, one order for all of them, durable results out.

    waiting submissions -> group: stamp, apply, encode -> append (thread: write, fdatasync, sign) -> acks, feed

Submissions that only take orders out go before the others that wait: who wants out waits for nobody's orders. After
WAYS_OUT_IN_A_ROW_MAX of them an order has its turn, so that no number of cancels keeps orders waiting for ever.
The feed is the groups as they stand in the journal: whoever wants events makes them, elsewhere (`storage.replica`).
Two groups are under way at most: while one is in the disk's hands the next is applied. Invariant: nothing about a
command leaves this object before the fsync of its group has returned; groups become durable in their order; a
DiskFailure ends `run`, and no later answer is given. The clock never runs back. What may not be known here: sockets,
SQL, the chain.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import structlog

from offchain.domain.command import (
    AdvanceTime,
    CancelAll,
    CancelMany,
    CloseEpoch,
    Command,
    PlaceOrder,
    Together,
    encode,
)
from offchain.domain.errors import SequencerUnavailable
from offchain.domain.event import AnyEvent, ApprovalGranted
from offchain.domain.units import Digest, from_hex
from offchain.domain.wire import RESULT_BYTES
from offchain.sequencer.attestation import Attestor
from offchain.sequencer.followers import Followers
from offchain.sequencer.named import cancel_of, find_named
from offchain.sequencer.protocol import Ack, Cancelled, NamedCancel, records_frame
from offchain.sequencer.receipts import attest
from offchain.sequencer.recovery import Memory
from offchain.sequencer.results import Result
from offchain.sequencer.ring import Ring, RingFrame
from offchain.sequencer.rows import RowSubmission, apply_rows, only_cancel
from offchain.sequencer.settings import (
    GROUP_BYTES_MAX,
    GROUP_COMMANDS_MAX,
    GROUP_SECONDS_MAX,
    ROWS_TOGETHER_MAX,
    WAITING_COMMANDS_MAX,
    WAYS_OUT_IN_A_ROW_MAX,
    Clock,
    SequencerSettings,
)
from offchain.storage.frames import Body
from offchain.storage.journal import Journal, Record

GROUPS_UNDER_WAY = 2
TIMER_RETRY_MILLIS = 1_000
"""A timer that is still due after AdvanceTime is asked for again only after this."""

log = structlog.get_logger("sequencer")
Deliver = Callable[[list[Ack]], None]
DeliverRows = Callable[[bytes, bytes], None]


class Submission(NamedTuple):
    """`deliver` is called with one ack per command once all of them are durable, unless the process stops before."""

    commands: Sequence[Command]
    deliver: Deliver

    @property
    def size(self) -> int:
        """How many commands."""
        return len(self.commands)


class CancelSubmission(NamedTuple):
    """Answered when durable, too, also if nothing was sequenced."""

    named: NamedCancel
    deliver: Callable[[Cancelled], None]

    @property
    def size(self) -> int:
        return 1


AnySubmission = Submission | RowSubmission | CancelSubmission


class Draft(NamedTuple):
    """An ack before it is durable; `digest` of orders only."""

    sequence: int
    at: int
    events: tuple[AnyEvent, ...]
    digest: Digest | None = None
    replayed: bool = False


class Group:
    """What one fsync makes durable, and what may leave after it."""

    def __init__(self) -> None:
        self.body = Body()
        self.answers: list[tuple[Deliver, list[Draft]]] = []
        self.row_answers: list[tuple[DeliverRows, bytes]] = []
        self.leaves: list[tuple[int, bytes]] = []
        """Sequence and digest of every order."""
        self.bytes = 0
        self.content = b""
        """As it stands in the journal."""
        self.acks: list[list[Ack]] = []
        self.frame = b""

    @property
    def is_empty(self) -> bool:
        return not (self.body.count or self.answers or self.row_answers)


class Sequencer:
    """Made by `serve`, or in tests from a recovered memory; `run` does the work until `stop`."""

    def __init__(
        self,
        journal: Journal,
        memory: Memory,
        settings: SequencerSettings,
        clock: Clock,
    ) -> None:
        self.memory = memory
        self.engine = memory.engine
        self.chain_id = journal.chain_id
        self.attestor = Attestor(settings.attestation_key, memory.venue)
        self.durable_sequence = journal.last_sequence
        self.ring = Ring(settings.ring_commands, settings.ring_bytes, journal.last_sequence)
        self.followers = Followers(settings, journal.last_sequence)
        self._journal = journal
        self._settings = settings
        self._clock = clock
        self._waiting: deque[AnySubmission] = deque()
        self._ways_out: deque[AnySubmission] = deque()
        """Waiting as well, and taken first."""
        self._passed_over = 0
        """Commands that went before an order that waits."""
        self.waiting_commands = 0
        """Commands that no group has taken yet."""
        self._promises: set[asyncio.Future[Any]] = set()
        self._wake = asyncio.Event()
        self._stopping = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_tried = (0, 0)
        self._disk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
        self.on_space: list[Callable[[], None]] = []
        """Called when the queue of waiting commands has been emptied into a group."""
        self.on_synced: Callable[[float], None] = _unobserved
        """Called in the journal's thread with the seconds that a group took to become durable."""
        self.longest_stall = 0.0
        """The most seconds that one group kept the loop, by being applied or by being answered."""

    # --- what others call, on the loop ---

    def enqueue(self, submission: AnySubmission) -> None:
        if self._stopping:
            return
        (self._ways_out if _is_way_out(submission) else self._waiting).append(submission)
        self.waiting_commands += submission.size
        self._wake.set()

    @property
    def is_stopping(self) -> bool:
        """It takes no more commands, because it was told to stop or because the disk failed."""
        return self._stopping

    @property
    def is_full(self) -> bool:
        """Callers have to stop reading; they are told by `on_space`."""
        return self.waiting_commands >= WAITING_COMMANDS_MAX

    async def submit(self, commands: Sequence[Command]) -> list[Ack]:
        """One ack per command, after the fsync. SequencerUnavailable if it is stopping."""
        if self._stopping:
            raise SequencerUnavailable("the sequencer is stopping")
        answer: asyncio.Future[list[Ack]] = self._promise()
        self.enqueue(Submission(commands, lambda acks: None if answer.done() else answer.set_result(acks)))
        return await answer

    def stop(self) -> None:
        """Takes no more commands; `run` returns when the waiting ones are durable and answered."""
        self._stopping = True
        self.followers.wake()
        self._wake.set()

    async def run(self) -> None:
        """Raises DiskFailure when the journal fails; nothing was answered then that is not durable."""
        slots = asyncio.Semaphore(GROUPS_UNDER_WAY)
        applied: asyncio.Queue[Group | None] = asyncio.Queue()
        committer = asyncio.create_task(self._commit_groups(applied, slots))
        applier = asyncio.create_task(self._apply_groups(applied, slots))
        try:
            await asyncio.wait((applier, committer), return_when=asyncio.FIRST_COMPLETED)
            if applier.done() and applier.exception() is None:
                await committer
            for task in (committer, applier):
                if task.done():
                    task.result()
        finally:
            applier.cancel()
            committer.cancel()
            self._disk.shutdown(wait=True)
            self._stopping = True
            for promise in tuple(self._promises):
                if not promise.done():
                    promise.set_exception(SequencerUnavailable("the sequencer has stopped"))

    def _promise(self) -> "asyncio.Future[Any]":
        """A future that ends with the sequencer at the latest."""
        promise: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._promises.add(promise)
        promise.add_done_callback(self._promises.discard)
        return promise

    # --- applying ---

    async def _apply_groups(self, applied: "asyncio.Queue[Group | None]", slots: asyncio.Semaphore) -> None:
        while True:
            if not self._has_work:
                if self._stopping:
                    applied.put_nowait(None)
                    return
                self._arm_timer()
                await self._wake.wait()
            await slots.acquire()
            self._wake.clear()
            group = self._apply_group()
            if group.is_empty:
                slots.release()
            else:
                applied.put_nowait(group)
            if self._has_work:  # the sockets come first
                await asyncio.sleep(0)

    @property
    def _has_work(self) -> bool:
        return bool(self._waiting or self._ways_out)

    def _apply_group(self) -> Group:
        group, now, began = Group(), max(self._clock(), self.engine.at), time.perf_counter()
        if not self._has_work and self._is_timer_due(now):
            self._sequence(group, AdvanceTime(), now)
        while self._has_work and group.body.count < GROUP_COMMANDS_MAX and group.bytes < GROUP_BYTES_MAX:
            queue = self._next_queue()
            submission = queue.popleft()
            self.waiting_commands -= submission.size
            if isinstance(submission, RowSubmission):
                self._answer_rows(group, self._row_submissions(submission, queue), now)
            elif isinstance(submission, CancelSubmission):
                group.answers.append(self._answer_named(group, submission, now))
            else:
                group.answers.append((submission.deliver, self._answer_all(group, submission.commands, now)))
            if time.perf_counter() - began > GROUP_SECONDS_MAX:
                break
        if self._is_epoch_due(now):
            self._sequence(group, CloseEpoch(), now)
        if not self.is_full:
            for listener in self.on_space:
                listener()
        self._note_stall(began)
        return group

    def _next_queue(self) -> deque[AnySubmission]:
        """Of what has to be taken now."""
        if not self._ways_out or (self._waiting and self._passed_over >= WAYS_OUT_IN_A_ROW_MAX):
            self._passed_over = 0
            return self._waiting
        if self._waiting:
            self._passed_over += self._ways_out[0].size
        return self._ways_out

    def _note_stall(self, began: float) -> None:
        self.longest_stall = max(self.longest_stall, time.perf_counter() - began)

    def _answer_all(self, group: Group, commands: Sequence[Command], now: int) -> list[Draft]:
        if isinstance(commands[0], Together):
            digests = [self.memory.digest(command) for command in commands if isinstance(command, PlaceOrder)]
            if again := self.memory.results.find_together(commands, digests):
                return [Draft(one.sequence, one.at, one.events, one.digest or None, replayed=True) for one in again]
        return [self._answer(group, command, now) for command in commands]

    def _answer(self, group: Group, command: Command, now: int) -> Draft:
        if not isinstance(command, PlaceOrder):
            return self._sequence(group, command, now)
        digest = self.memory.digest(command)
        first: Result | None = self.memory.results.find(command, digest)
        if first is not None:
            return Draft(first.sequence, first.at, first.events, first.digest, replayed=True)
        return self._sequence(group, command, now, digest)

    def _answer_named(self, group: Group, submission: CancelSubmission, now: int) -> tuple[Deliver, list[Draft]]:
        found = find_named(self.engine, submission.named)
        command = cancel_of(submission.named, found)
        drafts = [] if command is None else [self._sequence(group, command, now)]
        return lambda acks: submission.deliver(Cancelled(found, acks[0] if acks else None)), drafts

    def _row_submissions(self, first: RowSubmission, waiting: deque[AnySubmission]) -> list[RowSubmission]:
        """What waits behind it, of the same form, and may well be applied with it."""
        found, rows = [first], first.size
        while waiting and isinstance(following := waiting[0], RowSubmission):
            rows += following.size
            if rows > ROWS_TOGETHER_MAX or following.is_bulk is not first.is_bulk:
                break
            found.append(following)
            waiting.popleft()
            self.waiting_commands -= following.size
        return found

    def _answer_rows(self, group: Group, submissions: Sequence[RowSubmission], now: int) -> None:
        content = b"".join([submission.content for submission in submissions])
        answers = apply_rows(self.memory, content, now, is_bulk=submissions[0].is_bulk)
        if answers.size:
            group.body.extend(answers.records, answers.size, answers.first, now)
        group.leaves += answers.leaves
        group.bytes += len(content)
        start = 0
        for submission in submissions:
            end = start + submission.size * RESULT_BYTES
            group.row_answers.append((submission.deliver, answers.results[start:end]))
            start = end

    def _sequence(self, group: Group, command: Command, at: int, digest: Digest | None = None) -> Draft:
        sequence = self.engine.sequence + 1
        kind, version, payload = encode(command)
        events = self.memory.apply(sequence, at, command, digest)
        group.body.add(Record(kind, version, sequence, at, payload))
        group.bytes += len(payload)
        if digest is not None:
            group.leaves.append((sequence, from_hex(digest)))
        return Draft(sequence, at, events, digest)

    # --- timers ---

    def _is_timer_due(self, now: int) -> bool:
        deadline = self.engine.next_deadline()
        if deadline is None or deadline > now:
            return False
        last_deadline, tried_at = self._timer_tried
        if deadline == last_deadline and now < tried_at + TIMER_RETRY_MILLIS:
            return False
        self._timer_tried = (deadline, now)
        return True

    def _is_epoch_due(self, now: int) -> bool:
        due = self.memory.epoch.due_at(self._settings.epoch_millis, self._settings.epoch_orders)
        return due is not None and due <= now

    def _arm_timer(self) -> None:
        """Wakes the applier when the next deadline of the engine, or of the epoch, is due."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self._clock()
        deadline = self.engine.next_deadline()
        if deadline is not None and deadline <= now and deadline == self._timer_tried[0]:
            deadline = now + TIMER_RETRY_MILLIS
        epoch = self.memory.epoch.due_at(self._settings.epoch_millis, self._settings.epoch_orders)
        dues = [due for due in (deadline, epoch) if due is not None]
        if dues:
            delay = max(min(dues) - now, 0) / 1000
            self._timer = asyncio.get_running_loop().call_later(delay, self._wake.set)

    # --- making durable ---

    async def _commit_groups(self, applied: "asyncio.Queue[Group | None]", slots: asyncio.Semaphore) -> None:
        loop = asyncio.get_running_loop()
        if self.followers.is_sync and await self.followers.have(self.durable_sequence, lambda: self._stopping):
            self._journal.publish(self.durable_sequence)
        while (group := await applied.get()) is not None:
            if group.body.count or group.answers:
                await loop.run_in_executor(self._disk, self._commit, group)
            if await self._is_safe(group):
                self._release(group)
            slots.release()

    async def _is_safe(self, group: Group) -> bool:
        """Followers get it; and have it on disk, where that is asked for. False: it stops, and nobody knows."""
        body = group.body
        if body.count:
            group.frame = records_frame(group.content, b"".join([digest for _, digest in group.leaves]))
            self.followers.ring.append(RingFrame(body.first, body.last, group.frame))
            return await self.followers.have(body.last, lambda: self._stopping)
        return True

    def _commit(self, group: Group) -> None:
        """In the journal's thread: fsync, and then the receipts that are signed one by one, for which the loop need not
        wait. What rows get is little, and made where it goes out: while this thread computes, the loop cannot."""
        if group.body.count:
            began = time.perf_counter()
            group.content = self._journal.append_body(group.body)
            self.on_synced(time.perf_counter() - began)
        group.acks = [[self._ack(draft) for draft in drafts] for _, drafts in group.answers]

    def _ack(self, draft: Draft) -> Ack:
        receipt = ""
        if draft.digest is not None and draft.sequence:
            receipt = self.attestor.receipt(draft.sequence, draft.at, draft.digest)
        approval = ""
        if draft.digest is None:
            for event in draft.events:
                if isinstance(event, ApprovalGranted):
                    approval = self.attestor.approval(event)
        return Ack(draft.sequence, draft.at, draft.events, receipt, approval, draft.replayed)

    def _release(self, group: Group) -> None:
        """It is durable: signatures, answers, the feed."""
        body, began = group.body, time.perf_counter()
        if body.count:
            self.durable_sequence = body.last
            if self.followers.is_sync:
                self._journal.publish(self.durable_sequence)
        for (deliver, _), acks in zip(group.answers, group.acks, strict=True):
            deliver(acks)
        attestation = b""
        if group.row_answers and group.leaves:
            attestation = attest(self.attestor, body.first, body.last, body.first_at, group.leaves)
        for deliver_rows, results in group.row_answers:
            deliver_rows(results, attestation)
        if body.count:
            self.ring.append(RingFrame(body.first, body.last, group.frame))
        self._note_stall(began)


def _is_way_out(submission: AnySubmission) -> bool:
    if isinstance(submission, RowSubmission):
        return not submission.is_bulk and only_cancel(submission.content)
    if isinstance(submission, CancelSubmission):
        return True
    first = submission.commands[0]
    # The cancel of a lost connection comes after the orders that it sent: nobody is left to cancel them.
    return isinstance(first, CancelAll) or (isinstance(first, CancelMany) and not first.is_disconnect)


def _unobserved(_: float) -> None:
    """Nobody measures."""
