# SPDX-License-Identifier: Apache-2.0
"""The daemon dies while a chain is worked on, or the guest does, or both: by kill -9, at any moment.

Whatever moment it is: the disks start from their names and miss nothing, every point that is still
listed shows what it showed, and nothing is left that nobody needs.
"""

import contextlib
import time

import pytest

from support.chains import dice, one_disk
from support.machine import wait_until
from support.scene import pairs

from test_chain_commit import name


def kill(s, who):
    if who != 'guest':
        s.daemon.kill()
    if who != 'daemon':
        s.vm.kill()


def revive(s, who, operation):
    """All that died come back; the operation, when it is over."""
    if who == 'guest':      # it may be ended without the guest, and the files are locked meanwhile
        with contextlib.suppress(TimeoutError):
            s.daemon.finished(operation, timeout=5)
    if who == 'both':
        s.judge_name()
        s.daemon.start()
    if who == 'daemon':
        s.daemon.start()
        s.wait_attached()
    else:
        s.restart()
    operation = s.daemon.finished(operation)
    if who == 'daemon':
        assert operation['state'] in ('succeeded', 'failed'), operation
        wait_until(lambda: s.status() == 'running', 'the guest goes on', 20)
    return operation


def settle(s, operation, may_go):
    """A point that is gone, for a disk or for all, is one that might; all others are what they were."""
    listed = {point['id']: {s.index_of(disk) for disk in point['disks']} for point in s.listed()}
    for kept in may_go:
        for index in kept.copies.keys() - listed.get(kept.id, set()):
            del kept.copies[index]
    s.forget([kept for kept in may_go if kept.id not in listed])
    if operation['state'] == 'succeeded':
        assert operation['error'] is None
        # What a guest has moved away from stays.
        s.aside |= {disk['left'] for disk in operation['result'].get('disks', ()) if 'left' in disk
                    and operation['kind'] == 'mirror'}
    else:
        assert operation['state'] == 'failed' and operation['error']['message'], operation
    s.judge()


# Moments of chance

class Rounds:
    """Rounds of work on one guest, each struck at a moment of chance."""

    def __init__(self, s, chance, who):
        self.s, self.chance, self.who, self.took, self.moved = s, chance, who, 1.0, 0

    def points(self):
        """Those of all disks, still."""
        return sorted((kept for kept in self.s.points.values()
                       if len(kept.copies) == len(self.s.paths)), key=lambda kept: kept.number)

    def strike(self, begin):
        """Somebody dies some time after `begin` has asked for an operation; which."""
        operation = begin()
        moment = self.chance.uniform(0, self.took * 1.1)
        print(f"{operation['kind']} {operation['request']}: {moment:.3f} s")
        time.sleep(moment)
        kill(self.s, self.who)
        return operation

    def revive(self, operation):
        begun = time.monotonic()
        operation = revive(self.s, self.who, operation)
        self.took = max(0.3, min(2, time.monotonic() - begun))
        return operation

    def move(self, may_go, *words, **members):
        operation = self.strike(lambda: self.s.begin_to(*words, **members))
        settle(self.s, self.revive(operation), may_go)

    def commit(self):
        self.move(list(self.s.points.values()), 'disks', 'disk0', 'commit', discard_points=True,
                  base=name(self.s.layers()[-2]))

    def stream(self):
        base, *above = self.s.layers(1)
        members = {'base': name(base)} if len(above) > 1 else {}
        self.move([], 'disks', 'disk1', 'stream', **members)

    def delete(self, place=None):
        kept = self.chance.choice(self.points()) if place is None else self.points()[place]
        self.move([kept], 'snapshots', kept.id, method='DELETE')

    def shorten(self):
        *may_go, newest = self.points()
        self.move(may_go, 'shorten', max_chain_length=2)
        assert newest.id in self.s.points

    def mirror(self):
        self.moved += 1
        self.move([], 'disks', 'disk0', 'mirror', end='pivot',
                  target={'path': self.s.paths[0][0] + f'-moved-{self.moved}'})

    def past(self, points):
        """A point in the past: of one ahead nobody could tell whether it is reached."""
        s, mark = self.s, self.s.vm.mark()
        s.vm.wait_for_writes(20)
        number = max(frame.number for frame in s.vm.since(mark) if frame.kind == 'R')
        return self.chance.choice([kept for kept in points if kept.number < number - 10])

    def revert(self):
        kept = self.past(self.points())
        self.go_back(kept, 'snapshots', kept.id, 'revert')

    def restore(self):
        images = {point['id']: point['disks'][0]['image_id'] for point in self.s.listed()}
        kept = self.past([kept for kept in self.points() if images[kept.id]])
        self.go_back(kept, 'restore', image=images[kept.id])

    def go_back(self, kept, *words, **members):
        s = self.s
        before, mark, left = set(s.points), s.vm.mark(), [dict(model) for model in s.models]
        s.vm.wait_for_writes(5)
        operation = self.strike(lambda: s.begin_to(*words, **members))
        if self.who == 'both':
            s.daemon.start()
        if self.who == 'daemon':
            s.daemon.start()
            s.wait_attached()
        operation = s.daemon.finished(operation)
        if self.who == 'daemon':
            if operation['state'] == 'succeeded':
                s.at(kept, mark)
            wait_until(lambda: s.status() == 'running', 'the guest goes on', 20)
        else:
            reached = s.judge_either(kept, mark)
            assert reached == (operation['state'] == 'succeeded'), operation
            s.restarted = True
            s.renamed.clear()
            s.vm.start()
            s.wait_writing()
            s.wait_attached()
        if operation['state'] == 'succeeded':
            s.keep_new(models=left)
        assert before <= s.points.keys()
        settle(s, operation, [])

    def run(self, rounds, verbs, image='none'):
        for _ in range(rounds):
            for _ in range(2):
                self.s.grow()
                self.s.point(image=image)
            self.s.grow()
            getattr(self, self.chance.choice(verbs))()


ALL = ['commit', 'stream', 'delete', 'mirror', 'revert', 'revert']
CASES = [('both', 'drive', 'virtio', False), ('daemon', 'blockdev', 'scsi', True),
         ('guest', 'blockdev', 'virtio', False), ('both', 'blockdev', 'scsi', True),
         ('daemon', 'drive', 'virtio', False), ('guest', 'drive', 'scsi', False),
         ('both', 'blockdev', 'virtio', False), ('daemon', 'drive', 'scsi', True),
         ('both', 'drive', 'scsi', False), ('guest', 'drive', 'virtio', True)]


@pairs('who, kind, interface, iothread, rounds, verbs',
       (*CASES[0], 2, ['revert', 'commit']), (*CASES[1], 2, ['revert', 'mirror']),
       (*CASES[2], 1, ['revert', 'delete']))
def test_death_at_any_moment(qemu, who, kind, interface, iothread, rounds, verbs, chains):
    """Five of them, in the operations that move a name."""
    with chains(qemu, kind=kind, interface=interface, iothread=iothread) as s:
        Rounds(s, dice(qemu, who, kind, interface), who).run(rounds, verbs)


@pairs('who, kind, interface, iothread, verb', (*CASES[0], 'restore'), (*CASES[1], 'shorten'),
       (*CASES[2], 'restore'), (*CASES[3], 'shorten'), (*CASES[4], 'restore'),
       (*CASES[5], 'shorten'), (*CASES[7], 'restore'), (*CASES[9], 'shorten'), quick=[0, 1])
def test_death_with_images(qemu, who, kind, interface, iothread, verb, chains, tmp_path):
    """What comes from the store is there as a whole or not at all; what is in it stays."""
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind, interface=interface,
                iothread=iothread) as s:
        rounds = Rounds(s, dice(qemu, who, kind, interface, verb), who)
        rounds.run(1, [verb], image='layer')


@pairs('who, kind, interface, iothread, order', (*CASES[5], '1'), (*CASES[0], '0210'),
       (*CASES[1], '3010'), (*CASES[2], '2110'), (*CASES[3], '1200'), (*CASES[4], '0000'),
       (*CASES[5], '3210'), quick=[0])
def test_death_in_deleting(qemu, who, kind, interface, iothread, order, chains, tmp_path):
    """Of the point at each place in turn, of those that are left."""
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind, interface=interface,
                iothread=iothread) as s:
        rounds = Rounds(s, dice(qemu, who, kind, interface, order), who)
        s.deepen(5 if len(order) > 1 else 3)
        for place in map(int, order):
            rounds.delete(min(place, len(rounds.points()) - 1))
            s.grow()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pairs('who, kind, interface, iothread', *CASES)
@pytest.mark.parametrize('verb', ['restore', 'shorten'])
def test_many_deaths_with_images(qemu, who, kind, interface, iothread, verb, chains, tmp_path):
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind, interface=interface,
                iothread=iothread) as s:
        rounds = Rounds(s, dice(qemu, who, kind, interface, verb), who)
        rounds.run(6, [verb], image='layer')


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pairs('who, kind, interface, iothread', *CASES)
def test_many_deaths(qemu, who, kind, interface, iothread, chains):
    """Ten times eight."""
    with chains(qemu, kind=kind, interface=interface, iothread=iothread) as s:
        Rounds(s, dice(qemu, who, kind, interface), who).run(8, ALL)


# Moments of choice

MOMENTS = {
    'pending': ['JOB_STATUS_CHANGE', '"pending"'],
    'flush': ['blockdev-reopen'],
    'finalize': ['-finalize"'],
    'concluded': ['JOB_STATUS_CHANGE', '"concluded"'],
    'dismiss': ['-dismiss"'],
    'complete': ['-complete"'],
}
MOVES = {
    'commit': ('commit', {'top': 2, 'base': 1, 'discard_points': True}),
    'active commit': ('commit', {'base': 2, 'discard_points': True}),
    'stream': ('stream', {'base': 0}),
    'stream of all': ('stream', {}),
    'stream below': ('stream', {'into': 2}),
}


def strike_at(s, verb, moment, who, paused):
    """A move on a chain of five layers that is struck when a line goes by on the monitor."""
    trap = s.trapped()
    try:
        s.deepen(5)
        s.write(at=40, size=4)
        pids = {'daemon': [s.daemon.pid], 'guest': [s.vm.pid], 'both': [s.daemon.pid, s.vm.pid]}[who]
        if paused:      # then nobody but us flushes
            s.vm.qmp.execute('stop')
        kind, members = MOVES[verb]
        files = s.layers()
        members = {key: name(files[value]) if isinstance(value, int) and value is not True else value
                   for key, value in members.items()}
        may_go = list(s.points.values()) if 'discard_points' in members else []
        trap.arm(MOMENTS[moment], pids)
        operation = s.begin_to('disks', 'disk0', kind, **members)
        assert trap.snapped()
        if who != 'guest':
            s.daemon.wait()
        if who != 'daemon':
            s.vm.kill()
        elif paused:
            s.vm.qmp.execute('cont')
        operation = revive(s, who, operation)
        if who == 'daemon':
            assert operation['state'] == 'succeeded', operation
        settle(s, operation, may_go)
        s.grow()
        s.point()
        s.judge()
    finally:
        trap.stop()


@pairs('verb, moment, who, kind, paused',
       ('stream', 'concluded', 'both', 'blockdev', True), ('commit', 'flush', 'both', 'drive', True),
       ('stream of all', 'flush', 'guest', 'drive', True),
       ('commit', 'concluded', 'guest', 'blockdev', True),
       ('active commit', 'finalize', 'both', 'drive', False),
       ('stream', 'finalize', 'daemon', 'blockdev', False))
def test_death_at_a_moment(qemu, verb, moment, who, kind, paused, chains, tmp_path):
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        strike_at(s, verb, moment, who, paused)


def moments(verb):
    """Those that there are: an active commit flushes by itself, the others have nothing to complete."""
    return [moment for moment in MOMENTS
            if moment != ('flush' if verb == 'active commit' else 'complete')]


@pytest.mark.slow
@pytest.mark.parametrize('who', ['daemon', 'guest', 'both'])
@pytest.mark.parametrize('verb, moment', [(verb, moment) for verb in MOVES for moment in moments(verb)])
@pairs('kind', ('drive',), ('blockdev',))
def test_death_at_every_moment(qemu, verb, moment, who, kind, chains, tmp_path):
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        strike_at(s, verb, moment, who, verb != 'active commit')
