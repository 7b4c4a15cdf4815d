# SPDX-License-Identifier: Apache-2.0
"""The daemon dies at each of its durable writes while points are deleted, folded and restored."""

import http.client

import pytest

from support.chains import dice, one_disk
from support.scene import pairs

from test_chain_kills import Rounds, kill
from test_crash import KILL_AT, MOST


class Unborn(Exception):
    """It died before it had written down what it was asked for: then nothing was done."""


class Writes(Rounds):
    """Rounds of one operation each, of a daemon that dies at its N-th write."""

    def strike(self, begin):
        s, operation = self.s, None
        known = {each['id'] for each in s.operations()}
        s.daemon.stop()
        s.daemon.env[KILL_AT] = str(self.write)
        self.died = True
        try:
            s.daemon.start()
            s.wait_attached()
            operation = begin()
            s.daemon.finished(operation)
            self.died = False
        except (RuntimeError, OSError, http.client.HTTPException):
            assert s.daemon.wait() == -9, s.daemon.log[-3000:]
        del s.daemon.env[KILL_AT]
        operation = operation or self.unanswered(known)
        kill(s, self.who)
        return operation

    def unanswered(self, known):
        """What it was asked for and has gone on with, as its next life knows it."""
        s = self.s
        s.daemon.start()
        operation = next((each for each in s.operations() if each['id'] not in known), None)
        if not operation:
            s.wait_attached()
            raise Unborn
        return operation

    def sweep(self, verb):
        """As long as there is a write to die at; the last one, and in how many it was under way."""
        s, struck = self.s, 0
        for self.write in range(1, MOST):
            s.grow()
            s.point(image='layer')
            s.grow()
            try:
                getattr(self, verb)()
            except Unborn:
                s.judge()
                continue
            if not self.died:
                break
            struck += 1
        return self.write, struck


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize('verb', ['delete', 'shorten', 'restore'])
@pairs('who, kind, interface, iothread', ('daemon', 'drive', 'virtio', False),
       ('daemon', 'blockdev', 'scsi', True), ('both', 'blockdev', 'virtio', False),
       ('both', 'drive', 'scsi', True))
def test_death_at_every_write(qemu, who, kind, interface, iothread, verb, chains, tmp_path):
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind, interface=interface,
                iothread=iothread) as s:
        rounds = Writes(s, dice(qemu, who, kind, verb), who)
        for _ in range(2):
            s.grow()
            s.point(image='layer')
        last, struck = rounds.sweep(verb)
        assert last < MOST - 1 and struck >= 8, f'it died {struck} times, at {last} writes at most'
