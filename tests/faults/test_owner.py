# SPDX-License-Identifier: Apache-2.0
"""What somebody else does to the guest and to our jobs, by a monitor of his own, in the midst of an
operation: at any of its commands, which is held up meanwhile.

Whatever it was: it is noticed, the operation ends in bounded time and says how, and nothing is left
that nobody needs.
"""

import contextlib
import time

import pytest

from support import QmpError
from support.chains import dice, one_disk
from support.machine import wait_until
from support.oracles import assert_name, graph
from support.scene import pairs

from operations import WORKS
from stride import thinned
from strikes import striking
from test_commands import MANY, rows

HELD = 0.4      # seconds


def jobs(command, key='id', **more):
    """Tells all jobs something; those that do not listen have ended, or not begun."""
    def hand(s):
        for job in s.vm.qmp.execute('query-jobs'):
            with contextlib.suppress(QmpError):
                s.vm.qmp.execute(command, {key: job['id'], **more})
    return hand


def complete(s):
    jobs('job-complete')(s)
    time.sleep(HELD / 4)
    jobs('job-finalize')(s)


def pause(s):
    """For longer than anything takes."""
    jobs('job-pause')(s)
    time.sleep(3 * HELD)
    jobs('job-resume')(s)


def close(s):
    """All nodes of ours that QEMU lets go."""
    for name in graph(s.vm.qmp).nodes:
        if name.startswith('qsnap-'):
            with contextlib.suppress(QmpError):
                s.vm.qmp.execute('blockdev-del', node_name=name)


def stop(s):
    """Nobody but he who did it makes it go on."""
    s.vm.qmp.execute('stop')

    def go_on(s):
        if s.vm.alive:
            s.vm.qmp.execute('cont')
    return go_on


def reset(s):
    s.vm.qmp.execute('system_reset')


def resize(s):
    """QEMU may refuse that: a job or another client has it."""
    size = s.device()['inserted']['image']['virtual-size']
    with contextlib.suppress(QmpError):
        s.vm.qmp.execute('block_resize', node_name=s.root(), size=size + (1 << 20))


def leave(s):
    """As an orderly end of the host ends its guests."""
    s.vm.quit()


HANDS = {'cancel': jobs('job-cancel'), 'soft cancel': jobs('block-job-cancel', 'device', force=False),
         'complete': complete, 'finalize': jobs('job-finalize'), 'dismiss': jobs('job-dismiss'),
         'pause': pause, 'close': close, 'reset': reset, 'stop': stop, 'resize': resize,
         'leave': leave}


def lend(strikes, what, nth, name=None):
    """One operation in the midst of which somebody lends a hand."""
    print(f'{strikes.kind}: somebody comes to {what}', flush=True)

    def hand(s):
        return HANDS[what](s)
    return strikes.run('delay', nth, hand, name=name, pause=HELD)


# What a job of ours is told at its end, while somebody else tells it something too.
ENDS = [('commit', 'finalize', 'job-finalize'), ('active commit', 'cancel', 'job-finalize'),
        ('move', 'complete', 'job-complete'), ('stream', 'cancel', 'job-finalize'),
        ('active commit', 'dismiss', 'job-dismiss'), ('move', 'cancel', 'job-finalize'),
        ('copy', 'soft cancel', 'block-job-cancel'), ('full image', 'complete', 'job-complete'),
        ('revert', 'cancel', 'job-finalize'), ('commit', 'dismiss', 'job-dismiss'),
        # What the job has changed by then is not changed back.
        ('stream', 'finalize', 'blockdev-reopen')]


@pairs('work, what, name', *ENDS, quick=[1, 2, 6, 10])
def test_somebody_ends_a_job(qemu, work, what, name, tmp_path):
    with striking(tmp_path / 's', qemu, work) as strikes:
        assert lend(strikes, what, 1, name), f'it has no command {name}'


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize('what', HANDS)
@pairs('work, kind, interface, iothread', *rows(WORKS))
def test_somebody_lends_a_hand(qemu, work, kind, interface, iothread, what, tmp_path):
    """At some commands of each kind of operation."""
    chance = dice(qemu, work, kind, what)
    with striking(tmp_path / 's', qemu, work, kind=kind, interface=interface,
                  iothread=iothread) as strikes:
        count = len(strikes.dry())
        for _ in thinned(chance, range(MANY - 1)):
            lend(strikes, what, chance.randint(1, count - 1))


@pairs('work, what', ('stream', 'reset'), ('snapshot', 'close'), ('commit', 'stop'), ('move', 'pause'),
       ('active commit', 'leave'), quick=[0, 1, 4])
def test_somebody_comes_by_chance(qemu, work, what, tmp_path):
    chance = dice(qemu, work, what)
    with striking(tmp_path / 's', qemu, work) as strikes:
        count = len(strikes.dry())
        lend(strikes, what, chance.randint(1, count - 1))


# A disk is taken away

UNPLUGGED = {
    'commit': lambda names: ('commit', {'top': names[2], 'base': names[1], 'discard_points': True}),
    'active commit': lambda names: ('commit', {'base': names[0], 'discard_points': True}),
    'stream': lambda names: ('stream', {'base': names[0]}),
    'copy': lambda names: ('mirror', {'target': {'path': 'copy'}}),
    'move': lambda names: ('mirror', {'target': {'path': 'copy'}, 'end': 'pivot'}),
}


@pairs('work, kind', ('stream', 'drive'), ('active commit', 'blockdev'), ('move', 'drive'),
       ('commit', 'blockdev'), ('copy', 'drive'), ('commit', 'drive'), ('stream', 'blockdev'),
       ('active commit', 'drive'), ('move', 'blockdev'), ('copy', 'blockdev'), quick=[1, 2])
def test_a_disk_is_unplugged(qemu, work, kind, chains, tmp_path):
    """Its job is held back until it is gone. What the disk held is found where its name leads."""
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind, interface='scsi') as s:
        s.deepen(3)
        s.write(at=20, size=40)
        s.point()
        s.write(at=20, size=2)
        s.vm.qmp.execute('stop')        # else what it writes meanwhile cannot be told
        acked = s.vm.acked()
        verb, members = UNPLUGGED[work]([path.rpartition('/')[2] for path in s.layers()])
        if verb == 'mirror':
            members['target'] = {'path': f'{tmp_path}/a/copy'}
        operation = s.begin_to('disks', 'disk0', verb, speed=1 << 20, **members)
        wait_until(lambda: s.vm.qmp.execute('query-jobs'), 'a job runs', interval=0.01)
        s.vm.qmp.execute('device_del', id='disk0')
        s.vm.qmp.execute('cont')
        s.vm.qmp.wait_event('DEVICE_DELETED', {'device': 'disk0'})
        for job in s.vm.qmp.execute('query-block-jobs'):
            with contextlib.suppress(QmpError):
                s.vm.qmp.execute('block-job-set-speed', device=job['device'], speed=0)
        operation = s.daemon.finished(operation, timeout=60)
        assert operation['state'] in ('succeeded', 'failed'), operation
        assert operation['state'] == 'succeeded' or operation['error']['message'], operation
        wait_until(lambda: not s.vm.qmp.execute('query-jobs'), 'no job is left', 10)
        s.vm.kill()
        assert_name(s.paths, acked, qemu)
        s.judge_model(s.paths[0], s.models[0])
        s.judge, s.end = s.daemon.stop, list
