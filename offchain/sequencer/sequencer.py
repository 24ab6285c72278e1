"""The single writer: commands in, one order for all of them, durable results out.

    waiting submissions -> group: stamp, apply, encode -> append: write, fdatasync -> acks, feed

One turn of the loop takes all of this way, if the disk was quick the last time: handing a group to a thread and back
costs more than the fsync does. A group that the loop must not wait for goes to the journal's thread: after a slow
fsync, with many receipts to sign, or if followers have to have it. Then two groups are under way at most, and while one
is in the disk's hands the next is applied.
Submissions that only take orders out go before the others that wait: who wants out waits for nobody's orders. After
WAYS_OUT_IN_A_ROW_MAX of them an order has its turn, so that no number of cancels keeps orders waiting for ever.
The feed is the groups as they stand in the journal: whoever wants events makes them, elsewhere (`storage.replica`).
Invariant: nothing about a command leaves this object before the fsync of its group has returned; groups become durable
in their order; a DiskFailure ends `run`, and no later answer is given. The clock never runs back. What may not be known
here: sockets, SQL, the chain.
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
"""Of those in the journal's thread."""
QUICK_SECONDS = 0.01
"""Of the last fsync: the loop waits for the next one. All that it could do meanwhile is to apply one more group."""
SIGNATURES_IN_TURN_MAX = 16
"""Answers that may each need a receipt: half a millisecond of the loop."""
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

    @property
    def signatures(self) -> int:
        """At most."""
        return sum(len(drafts) for _, drafts in self.answers)


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
        self._loop: asyncio.AbstractEventLoop | None = None
        """While `run` does."""
        self._ended: asyncio.Future[None]
        self._is_turn_due = False
        self._stopping = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0
        self._timer_tried = (0, 0)
        self._handed: asyncio.Queue[Group] = asyncio.Queue()
        """To the journal's thread."""
        self._under_way = 0
        self._synced_seconds = 0.0
        """Of the last fsync."""
        self._disk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
        self.on_space: list[Callable[[], None]] = []
        """Called when the queue of waiting commands has been emptied into a group."""
        self.on_synced: Callable[[float], None] = _unobserved
        """Called in either thread with the seconds that a group took to become durable."""
        self.longest_stall = 0.0
        """The most seconds that one group kept the loop, by being applied or by being answered; without its fsync."""

    # --- what others call, on the loop ---

    def enqueue(self, submission: AnySubmission) -> None:
        if self._stopping:
            return
        (self._ways_out if _is_way_out(submission) else self._waiting).append(submission)
        self.waiting_commands += submission.size
        self._wake()

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
        self._wake()

    async def run(self) -> None:
        """Raises DiskFailure when the journal fails; nothing was answered then that is not durable."""
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()
        committer = asyncio.create_task(self._commit_groups())
        self._wake()
        try:
            await asyncio.wait((self._ended, committer), return_when=asyncio.FIRST_COMPLETED)
            (self._ended if self._ended.done() else committer).result()
        finally:
            self._loop = None
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

    # --- turns ---

    def _wake(self) -> None:
        """Takes a turn once the loop has read what there is."""
        if self._loop is not None and not self._is_turn_due:
            self._is_turn_due = True
            self._loop.call_soon(self._take_turn)

    def _take_turn(self) -> None:
        self._is_turn_due = False
        if self._loop is None or self._under_way >= GROUPS_UNDER_WAY:
            return
        try:
            self._make_group()
        except Exception as error:  # a failing disk, or a bug: either ends everything
            if not self._ended.done():
                self._ended.set_exception(error)
            self._loop = None

    def _make_group(self) -> None:
        group = self._apply_group()
        if not group.is_empty:
            if self._may_wait_for(group):
                self._commit(group)
                self._share(group)
                self._release(group)
            else:
                self._under_way += 1
                self._handed.put_nowait(group)
        if self._has_work:  # the sockets come first
            self._wake()
        elif not self._stopping:
            self._arm_timer()
        elif not self._under_way and not self._ended.done():
            self._ended.set_result(None)

    def _may_wait_for(self, group: Group) -> bool:
        """Whether the loop may, until it is durable."""
        followers = self.followers
        if self._under_way or followers.is_sync or followers.deposed_by:
            return False
        return self._synced_seconds < QUICK_SECONDS and group.signatures <= SIGNATURES_IN_TURN_MAX

    # --- applying ---

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
        """Takes a turn when the next deadline of the engine, or of the epoch, is due; one that comes too early is
        harmless."""
        assert self._loop is not None
        now = self._clock()
        deadline = self.engine.next_deadline()
        if deadline is not None and deadline <= now and deadline == self._timer_tried[0]:
            deadline = now + TIMER_RETRY_MILLIS
        epoch = self.memory.epoch.due_at(self._settings.epoch_millis, self._settings.epoch_orders)
        due = min((due for due in (deadline, epoch) if due is not None), default=None)
        if due is None or (self._timer is not None and self._timer_due <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_due = due
        self._timer = self._loop.call_later(max(due - now, 0) / 1000, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._wake()

    # --- making durable ---

    async def _commit_groups(self) -> None:
        """Of the groups that the loop does not wait for."""
        loop, followers = asyncio.get_running_loop(), self.followers
        if followers.is_sync and await followers.have(self.durable_sequence, lambda: self._stopping):
            self._journal.publish(self.durable_sequence)
        while True:
            group = await self._handed.get()
            if group.body.count or group.answers:
                await loop.run_in_executor(self._disk, self._commit, group)
            self._share(group)
            if not group.body.count or await followers.have(group.body.last, lambda: self._stopping):
                self._release(group)
            self._under_way -= 1
            self._wake()

    def _share(self, group: Group) -> None:
        """With followers, before it is acknowledged."""
        body = group.body
        if body.count:
            group.frame = records_frame(group.content, b"".join([digest for _, digest in group.leaves]))
            self.followers.ring.append(RingFrame(body.first, body.last, group.frame))

    def _commit(self, group: Group) -> None:
        """The fsync, and the receipts that are signed one by one. What rows get is little, and made where it goes out:
        while another thread computes, the loop cannot."""
        if group.body.count:
            began = time.perf_counter()
            group.content = self._journal.append_body(group.body)
            self._synced_seconds = time.perf_counter() - began
            self.on_synced(self._synced_seconds)
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
        """It is durable: answers, the feed."""
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
