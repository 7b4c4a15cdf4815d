# SPDX-License-Identifier: Apache-2.0
"""A system call of the daemon's fails, once or for ever, or is the last that it makes.

Whichever it is: the operation ends, as it should or with words that say what failed; the guest's
disks, names and points are what they must be, nothing is left, and the next operation works.
"""

import errno
import itertools

import pytest

from support.chains import ChainScene, dice, one_disk
from support.scene import pairs, two_disks

from operations import WORKS
from shim import CHANGES, Shim
from stride import thinned
from sweep import Fault, Round, Sweep

# What can be wrong with a file system, a peer and a process.
ERRORS = {'journal': (errno.EIO, errno.ENOSPC), 'file': (errno.EIO, errno.ENOSPC, errno.EACCES),
          'qmp': (errno.EPIPE, errno.ECONNRESET), 'spawn': (errno.EAGAIN, errno.ENOENT)}
MODES = {'once': ('error', 1), 'for ever': ('error', 0), 'short': ('short', 1),
         'killed before': ('kill-before', 1), 'killed after': ('kill-after', 1)}
KINDS = [('drive', 1), ('drive', 2), ('blockdev', 2), ('blockdev', 1)]


def rows(*values):
    """Each with one kind of guest, in turn; with one disk where an operation is of one only."""
    return [(*value, kind, WORKS[value[0]].disks or disks)
            for value, (kind, disks) in zip(itertools.product(*values), itertools.cycle(KINDS))]


def count(counts, of, calls=CHANGES):
    """How many calls of a kind one operation makes."""
    return sum(counts[of, name] for name in calls)


def sweep(tmp_path, qemu, kind, what, disks):
    def make(name):
        folder = tmp_path / name
        folder.mkdir()
        made = one_disk(folder, qemu) if disks == 1 else two_disks(folder, qemu)
        return ChainScene(folder, qemu, made, kind=kind)
    return Sweep(make, WORKS[what])


@pairs('what, kind, disks', *rows(WORKS))
def test_some(qemu, what, kind, disks, tmp_path):
    """Two faults and a death, drawn by lot from all of them."""
    chance = dice('calls', qemu, kind, what)

    def choose(counts):
        for of, fault, repeat in (('journal', 'error', 1), ('file', 'error', chance.choice((0, 1))),
                                  (chance.choice(('journal', 'file')), 'kill-before', 1)):
            at, error = chance.randint(1, count(counts, of)), chance.choice(ERRORS[of])
            yield Fault(of, at, fault, repeat, error)
    one = sweep(tmp_path, qemu, kind, what, disks).run(choose)
    one.result(f'{what}, {qemu} {kind}, {disks} disks')


# Certain calls, as found among those of one operation before

def reading(calls):
    """To the process that reads a disk, in the midst of it: what is told is what broke."""
    places = [place for place, call in enumerate(only('send', calls), 1) if '/read-' in call.path]
    return places[len(places) // 2]


def naming(calls):
    """What makes a name durable that a layer from the store has been given."""
    named = next(place for place, call in enumerate(calls)
                 if call.name == 'link' and call.path.endswith('.part'))
    return len(only('sync', calls[:named])) + 1


def only(name, calls):
    return [call for call in calls if call.name == name]


CERTAIN = {'reading': reading, 'naming': naming}


@pairs('what, of, call, where', ('full image', 'qmp', 'send', 'reading'),
       ('restore', 'file', 'sync', 'naming'))
def test_certain(qemu, what, of, call, where, tmp_path):
    scene = ChainScene(tmp_path, qemu, one_disk(tmp_path, qemu), kind='blockdev')
    shim = Shim(scene)
    with scene as s:
        work = WORKS[what](s)
        work.prepare()
        mark = shim.mark()
        assert work.settle(s.daemon.finished(work.ask().json))
        at = CERTAIN[where]([each for each in shim.since(mark) if each.kind == of])
        one = Round(s, shim, WORKS[what](s))
        one.run(Fault(of, at, 'error', 2, errno.EPIPE, (call,)))
        assert one.struck and one.state == 'failed', one.hit


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pairs('what, mode, kind, disks', *rows(WORKS, MODES))
def test_all(qemu, what, mode, kind, disks, tmp_path):
    """Each call of each kind; the error of each is drawn by lot."""
    chance = dice('calls', qemu, kind, what, mode)
    fault, repeat = MODES[mode]
    # A socket that fails for ever is a guest that is gone; a write that is short is one to a file.
    kinds = [each for each in ERRORS if fault == 'error' and repeat or each in ('journal', 'file')]
    calls = ('write',) if fault == 'short' else CHANGES

    def choose(counts):
        places = [(each, at) for each in kinds for at in range(1, count(counts, each, calls) + 1)]
        for each, at in thinned(chance, places):
            # What could not be sent is sent once more before the link is given up.
            times = 2 if each == 'qmp' else repeat
            yield Fault(each, at, fault, times, chance.choice(ERRORS[each]), calls)
    one = sweep(tmp_path, qemu, kind, what, disks).run(choose)
    one.result(f'{what}, {qemu} {kind}, {disks} disks, {mode}')
