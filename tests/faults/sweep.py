# SPDX-License-Identifier: Apache-2.0
"""Operations asked for again and again, each time with another fault, on guests that go on."""

import collections
import contextlib
import dataclasses
import errno
import http.client
import os
import time

from support.machine import wait_until

from shim import CHANGES, Shim

ROUNDS = 10         # on one guest: its branches and points become more
PATIENCE = 3        # seconds that a fault that does not end is watched
SETTLED = 10        # seconds from the guest's being back to the operation's end


@dataclasses.dataclass(frozen=True)
class Fault:
    """What is to go wrong: the `at`-th call of a kind."""
    kind: str           # of what: 'journal', 'file', 'qmp', 'spawn'
    at: int
    what: str = 'error'
    repeat: int = 1     # 0: for ever
    error: int = errno.EIO
    calls: tuple = CHANGES

    def __str__(self):
        word = errno.errorcode[self.error] if self.what == 'error' else self.what
        return f'{self.kind} {self.at} {word}' + ('' if self.repeat else ' for ever')


class Round:
    """One operation with one fault."""

    def __init__(self, s, shim, work):
        self.s, self.shim, self.work = s, shim, work
        self.took, self.state, self.struck = 0.0, None, False

    def run(self, fault):
        self.work.prepare()
        known = {operation['id'] for operation in self.s.operations()}
        mark = self.shim.mark()
        self.shim.arm([fault.kind], fault.at, fault.repeat, fault.what, fault.error, fault.calls)
        try:
            if fault.what.startswith('kill'):
                operation = self.until_dead(known)
            else:
                operation = self.until_over(known, fault.repeat == 0)
        finally:
            self.shim.disarm()
        calls = self.shim.since(mark)
        self.struck = bool(self.shim.struck)
        self.hit = next((call for call in calls if call.faulty), None)
        self.judge(operation, fault)

    def ask(self):
        """The answer; None when the daemon died before it came."""
        with contextlib.suppress(http.client.HTTPException, ConnectionError):
            return self.work.ask()

    def until_over(self, known, for_ever):
        answer = self.ask()
        assert answer is not None, self.s.daemon.log[-4000:]
        if answer.status != 202:
            self.refusal = answer.error
            assert {each['id'] for each in self.s.operations()} <= known, 'it was refused, and is there'
            return None
        operation = answer.json['id']
        if for_ever:
            with contextlib.suppress(TimeoutError):
                self.over(operation, PATIENCE)
            self.shim.disarm()
        begun = time.monotonic()
        operation = self.over(operation)
        self.took = time.monotonic() - begun if for_ever else 0.0
        return operation

    def over(self, operation, timeout=90):
        return wait_until(lambda: self.ended(operation, min(timeout, 10)),
                          f'operation {operation} is over', timeout, interval=0)

    def ended(self, operation, wait):
        """An operation that is over; None when it is not, so many seconds later."""
        answer = self.s.daemon.get(f'/v1/operations/{operation}?wait={wait}')
        assert answer.status == 200, answer.body
        return answer.json if answer.json['state'] not in ('queued', 'running') else None

    def until_dead(self, known):
        """The daemon dies, and is started again; or it does not come to that call."""
        s = self.s
        answer = self.ask()

        def dead_or_over():
            if s.daemon.process.poll() is not None:
                return True
            with contextlib.suppress(http.client.HTTPException, OSError):
                return answer is None or answer.status != 202 or self.ended(answer.json['id'], 10)
            return False
        wait_until(dead_or_over, 'it dies, or it is over', 90, interval=0.02)
        if s.daemon.process.poll() is None and self.shim.struck:
            s.daemon.wait(10)
        self.shim.disarm()
        if s.daemon.process.poll() is not None:
            s.daemon.start()
            s.wait_attached()
        begun = time.monotonic()
        new = [each['id'] for each in s.operations() if each['id'] not in known]
        assert len(new) <= 1, new
        assert new or answer is None or answer.status != 202, 'it was accepted, and it is forgotten'
        operation = self.over(new[0]) if new else None
        self.took = time.monotonic() - begun
        assert self.took < SETTLED, f'it took {self.took:.1f} s to settle'
        return operation

    def judge(self, operation, fault):
        s = self.s
        self.state = operation['state'] if operation else 'refused'
        if self.struck and fault.what == 'error' and self.state != 'succeeded':
            error = operation['error'] if operation else self.refusal
            self.judge_message(error['message'], fault)
        if s.daemon.process.poll() is not None:
            raise AssertionError(f'the daemon is gone: {s.daemon.log[-4000:]}')
        s.wait_attached()
        self.work.settle(operation)
        s.daemon.assert_clean()

    def judge_message(self, message, fault):
        """Who reads it knows what has failed: the file, or why."""
        words = [os.strerror(fault.error), 'disk I/O error', 'database or disk is full']
        if self.hit:
            words += [os.path.basename(name) for name in (self.hit.path, self.hit.other) if name]
        assert any(word in message for word in words), f'{message!r} does not tell of {self.hit}'


@dataclasses.dataclass
class Sweep:
    """Rounds with many faults; a guest that a round has failed on is replaced."""

    make: object            # of a name: a ChainScene with a folder of its own
    work: type
    tried: int = 0
    struck: int = 0
    longest: float = 0.0

    def __post_init__(self):
        self.failures, self.outcomes, self._number = [], {}, 0

    def run(self, choose):
        """Rounds with the faults that are chosen of what one operation calls: how often each."""
        self._faults = None
        while self._faults is None or self._faults:
            try:
                self._some(choose)
            except Exception as error:      # what the guest's end tells is of the last round
                if self._faults is None:
                    raise
                self.failures.append(f'{self._last}: {type(error).__name__}: {error}')
                print('failed:', self.failures[-1][:1500], flush=True)
        return self

    def _some(self, choose):
        self._number += 1
        self._last = 'at first'
        scene = self.make(f's{self._number}')
        shim = Shim(scene)
        with scene as s:
            if self._faults is None:
                self._faults = list(choose(self._count(s, shim)))
            for _ in range(ROUNDS):
                if self._faults:
                    self._one(Round(s, shim, self.work(s)))
            s.point('afterwards')

    def _one(self, one):
        fault = self._last = self._faults.pop(0)
        self.tried += 1
        one.run(fault)
        self.struck += one.struck
        self.longest = max(self.longest, one.took)
        self.outcomes[one.state] = self.outcomes.get(one.state, 0) + 1
        where = f'{one.hit.name} {one.hit.path}' if one.hit else ''
        print(f'{fault}: {one.state}, {one.took:.2f} s {where}', flush=True)

    def _count(self, s, shim):
        work = self.work(s)
        work.prepare()
        mark = shim.mark()
        operation = s.daemon.finished(work.ask().json)
        calls = shim.since(mark)
        assert work.settle(operation), operation
        return collections.Counter((call.kind, call.name) for call in calls)

    def result(self, name):
        words = ', '.join(f'{count} {state}' for state, count in sorted(self.outcomes.items()))
        print(f'{name}: {self.tried} tried, {self.struck} struck, {words}; '
              f'{len(self.failures)} not survived; settled after {self.longest:.2f} s at most')
        assert not self.failures, '\n'.join(failure[:1500] for failure in self.failures)
