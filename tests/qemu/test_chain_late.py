# SPDX-License-Identifier: Apache-2.0
"""Jobs that do not catch up with their guest: it is slowed down, held, or left where it is."""

import contextlib
import itertools
import os

from support import Disk, create_qcow2
from support.chains import MIB, one_disk
from support.machine import wait_until
from support.qmp import QmpError
from support.scene import pairs

LIMITS = ('bps', 'bps_rd', 'bps_wr', 'iops', 'iops_rd', 'iops_wr')
OURS = {'bps_wr', 'iops_wr'}


def limits(s):
    """What the guest's device is limited to, where it is."""
    inserted = s.device()['inserted']
    return {name: inserted[name] for name in LIMITS if inserted[name]}


def told(operation):
    """The one disk of an operation, or its one move."""
    one, = operation['result'].get('moves') or operation['result']['disks']
    return one


def job(s):
    found = s.vm.qmp.execute('query-jobs')
    return found[0] if found else None


def events(s):
    s.vm.qmp.execute('query-version')       # takes what has come so far
    return [event['event'] for event in s.vm.qmp.events]


def stayed(s, operation, *words):
    """The operation has given up, and says why; the guest is on its layers and writes as before."""
    operation = s.daemon.finished(operation)
    assert operation['state'] == 'failed', operation
    assert operation['error']['code'] == 'timeout', operation['error']
    for word in words:
        assert word in operation['error']['message'], operation['error']
    assert s.status() == 'running' and not limits(s)
    s.aside |= s.name_for_life()
    s.judge()
    s.aside.clear()


def went(s, operation):
    operation = s.daemon.finished(operation)
    assert operation['state'] == 'succeeded', operation
    s.aside |= {disk['left'] for disk in operation['result'].get('disks', ()) if 'left' in disk}
    assert s.status() == 'running' and not limits(s)
    s.judge()
    return operation


# A guest that writes faster than its base takes it

def slow_base(folder, qemu, rate):
    """A disk on a base that takes only so many bytes a second, and the words for QEMU."""
    (folder / 'a').mkdir(exist_ok=True)
    base = create_qcow2(folder / 'a/base', '64M', options='preallocation=metadata', qemu=qemu)
    disk = create_qcow2(folder / 'a/disk', backing='base', qemu=qemu)
    below = {'driver': 'throttle', 'throttle-group': 'slow'}
    return Disk(disk, backing=Disk(base, below=below)), [
        '-object', f'throttle-group,id=slow,x-bps-write={rate}']


def outrun(s, condition, timeout=30):
    """Writes MiB upon MiB, as the guest, until the condition holds; what came of that."""
    places = itertools.cycle(range(8, 40, 4))

    def write():
        value = condition()
        if not value:
            s.write(next(places), 4)
        return value
    return wait_until(write, 'a job that cannot keep up is helped', timeout, interval=0)


def over(s, operation):
    return s.daemon.get(f"/v1/operations/{operation['id']}").json['finished']


@contextlib.contextmanager
def slow_commit(qemu, kind, chains, folder, on_deadline):
    """A commit of the active layer that never ends while somebody outruns it."""
    disk, args = slow_base(folder, qemu, 24 * MIB)
    with chains(qemu, [disk], kind=kind, args=args) as s:
        s.write(8, 32)
        s.vm.qmp.events.clear()
        operation = s.begin_to('disks', 'disk0', 'commit', base='base', deadline=1,
                               on_deadline=on_deadline)
        yield s, operation


@pairs('kind', ('blockdev',), ('drive',), quick=[0])
def test_a_commit_wins_by_throttling(qemu, kind, chains, tmp_path):
    """The guest writes on, 4 MiB a second at most, and is never stopped."""
    with slow_commit(qemu, kind, chains, tmp_path, 'throttle') as (s, operation):
        found = outrun(s, lambda: limits(s))
        assert found.keys() == OURS
        s.write(40)
        went(s, operation)
        assert len(s.layers()) == 1
        assert 'STOP' not in events(s)


@pairs('kind', ('drive',), ('blockdev',), quick=[])
def test_a_commit_wins_by_a_stop(qemu, kind, chains, tmp_path):
    with slow_commit(qemu, kind, chains, tmp_path, 'stop') as (s, operation):
        outrun(s, lambda: 'STOP' in events(s))
        went(s, operation)
        assert len(s.layers()) == 1
        assert 'RESUME' in events(s)


@pairs('kind', ('blockdev',), ('drive',), quick=[0])
def test_a_commit_is_left(qemu, kind, chains, tmp_path):
    with slow_commit(qemu, kind, chains, tmp_path, 'leave') as (s, operation):
        outrun(s, lambda: over(s, operation))
        stayed(s, operation, 'faster', '1 s')
        assert len(s.layers()) == 2
        assert not {'STOP', 'RESUME'} & set(events(s))
        s.commit(base='base')
        assert len(s.layers()) == 1


# A copy that is held up

@contextlib.contextmanager
def held_mirror(qemu, kind, chains, folder, **members):
    """A guest that moves to a copy that hardly gets on, but for its first 16 MiB."""
    with chains(qemu, one_disk(folder, qemu), kind=kind) as s:
        s.write(4, 24)
        s.point()
        s.grow()
        s.vm.qmp.events.clear()
        operation = s.begin_to('disks', 'disk0', 'mirror', target={'path': f'{folder}/a/moved'},
                               end='pivot', speed=1, deadline=1, **members)
        yield s, operation


def hasten(s):
    with contextlib.suppress(QmpError):
        s.vm.qmp.execute('block-job-set-speed', device=job(s)['id'], speed=0)


@pairs('kind', ('drive',), ('blockdev',), quick=[0])
def test_a_mirror_with_a_guest_that_is_throttled(qemu, kind, chains, tmp_path):
    with held_mirror(qemu, kind, chains, tmp_path, on_deadline='throttle') as (s, operation):
        wait_until(lambda: limits(s), 'the device is limited', 30, interval=0.01)
        assert limits(s).keys() == OURS
        hasten(s)
        went(s, operation)
        assert os.path.samefile(f'{tmp_path}/a/moved', s.paths[0][0])
        assert 'STOP' not in events(s)


@pairs('kind', ('blockdev',), ('drive',), quick=[])
def test_a_mirror_with_a_guest_that_is_stopped(qemu, kind, chains, tmp_path):
    with held_mirror(qemu, kind, chains, tmp_path, on_deadline='stop') as (s, operation):
        went(s, operation)
        assert os.path.samefile(f'{tmp_path}/a/moved', s.paths[0][0])
        assert {'STOP', 'RESUME'} <= set(events(s))


@pairs('kind, on_deadline', ('blockdev', 'leave'), ('drive', 'leave'), ('drive', 'throttle'),
       ('blockdev', 'throttle'), quick=[])
def test_a_mirror_that_is_given_up(qemu, kind, on_deadline, chains, tmp_path):
    """What was copied goes; the guest stays, with no limit left on it."""
    with held_mirror(qemu, kind, chains, tmp_path, on_deadline=on_deadline) as (s, operation):
        stayed(s, operation, 'faster')
        assert not os.path.exists(f'{tmp_path}/a/moved')
        assert 'STOP' not in events(s)


# A copy that takes each write at once

def can_change(s):
    return 'block-job-change' in {each['name'] for each in s.vm.qmp.execute('query-commands')}


@pairs('kind, interface, iothread', ('drive', 'virtio', False), ('blockdev', 'scsi', True),
       ('blockdev', 'virtio', False), ('drive', 'scsi', True), quick=[0, 1])
def test_a_mirror_wins_by_blocking_writes(qemu, kind, interface, iothread, chains, tmp_path):
    """A copy that rests for 250 ms after each 64 KiB always finds the next written to.

    Where QEMU can change the job the guest then waits for the copy of each of its writes, and is
    caught up with; where it cannot the guest is stopped for the end of it.
    """
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind, interface=interface,
                iothread=iothread) as s:
        s.vm.wait_for_writes(50)
        s.vm.qmp.events.clear()
        operation = s.begin_to('disks', 'disk0', 'mirror', target={'path': f'{tmp_path}/a/moved'},
                               end='pivot', speed=256 << 10, deadline=4, on_deadline='stop')
        operation = went(s, operation)
        assert os.path.samefile(f'{tmp_path}/a/moved', s.paths[0][0])
        changed = can_change(s)
        assert told(operation)['copy_mode'] == ('write-blocking' if changed else 'background')
        assert ('STOP' in events(s)) != changed
