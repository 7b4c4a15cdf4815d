# SPDX-License-Identifier: Apache-2.0
"""The daemon dies while it makes a full image, or the guest does, or both.

Whatever moment it is: the guest was never left standing for good, its disks are as before or start
from their own names, and the image is whole or is not there.
"""

import http.client
import os
import random
import time

import pytest

from support import Disk, create_qcow2
from support.full import ImageScene
from support.machine import wait_until
from support.scene import pairs

from test_crash import KILL_AT

MOST = 80


def assert_runs(s):
    wait_until(lambda: s.status() == 'running', 'the guest goes on', 20)
    s.vm.wait_for_writes(5)


def revive(s):
    s.daemon.start()
    s.wait_attached()


def settle(s, before, same_process, may_fail):
    """Waits for what the journal holds; judges what became of it."""
    for operation in s.operations():
        if operation['id'] in s.known:
            continue
        operation = s.daemon.finished(operation, timeout=60)
        s.known.add(operation['id'])
        told = operation['result'].get('disks', [])
        if operation['state'] == 'succeeded':
            s.judge_full(operation, before, max(s.vm.acked(), s.last), folded=False)
        else:
            assert operation['state'] in may_fail, operation
            assert not operation['result'].get('images'), operation
            s.forget_images(operation)
        for disk in told:
            if disk['folded']:
                s.judge_folded(disk)
            else:
                assert not same_process, f'nothing kept it from being folded back: {disk}'
        kept = [disk for disk in told if not disk['folded']]
        if kept:
            s.judge_kept(operation, begun=True)
        if same_process:
            s.assert_as_before()
    s.assert_nothing_reads()


def begin(s, members):
    """Asks for an image, of a daemon that may die meanwhile; whether it did."""
    try:
        operation = s.begin_image(**members)
        s.daemon.finished(operation, timeout=60)
        return False
    except (OSError, http.client.HTTPException):
        assert s.daemon.wait() == -9, s.daemon.log[-3000:]
        return True


def scenario(folder, qemu, kind, write, together, fails=False, **options):
    """One death; whether the operation came that far."""
    folder.mkdir()
    names = options.pop('names', False)
    for name in 'ab':
        (folder / name).mkdir()
    disks = [Disk(create_qcow2(folder / name / 'disk', qemu=qemu), names=names) for name in 'ab']
    daemon = {'daemon.storage-daemon': '/nonexistent'} if fails else None
    with ImageScene(folder, qemu, disks, kind=kind, daemon=daemon, **options) as s:
        s.daemon.stop()
        s.daemon.env[KILL_AT] = str(write)
        s.last, s.known = 0, set()
        before = s.vm.acked()
        try:
            revive(s)
            died = begin(s, {'disks': 'all'})
        except (RuntimeError, OSError, http.client.HTTPException):      # as it came up
            assert s.daemon.wait() == -9, s.daemon.log[-3000:]
            died = True
        del s.daemon.env[KILL_AT]
        if died:
            assert_runs(s)
            s.last = s.vm.acked() + 1
            if together:
                s.vm.kill()
                s.judge_name()
                s.restarted = True
                s.vm.start()
                s.vm.wait_for_writes(20)
        else:
            s.daemon.stop()     # or its count would go on
        revive(s)
        settle(s, before, not (died and together), {'failed'})
        if died and together:
            s.renamed.clear()
        assert_runs(s)
        s.judge()
        s.compare_restored(s.backup(name='next'))
    return died


def sweep(folder, qemu, kind, writes, together, **options):
    reached = 0
    for write in writes:
        if not scenario(folder / f'w{write}', qemu, kind, write, together, **options):
            break
        reached = write
    return reached


@pairs('kind, together, first, fails', ('drive', False, 4, True), ('blockdev', True, 3, False),
       ('blockdev', False, 5, True), ('drive', True, 2, False), quick=[1])
def test_death_at_some_writes(qemu, kind, together, first, fails, tmp_path):
    assert sweep(tmp_path, qemu, kind, range(first, MOST, 9), together, fails=fails) >= 9


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize('together', [False, True], ids=['daemon', 'daemon-and-guest'])
@pytest.mark.parametrize('fails', [False, True], ids=['whole', 'failing'])
@pairs('kind, interface, iothread, names',
       ('drive', 'virtio', False, False), ('drive', 'scsi', False, False),
       ('blockdev', 'virtio', False, False), ('blockdev', 'scsi', False, True),
       ('blockdev', 'scsi', True, False), ('drive', 'scsi', True, True))
def test_death_at_every_write(qemu, kind, interface, iothread, names, fails, together, tmp_path):
    last = sweep(tmp_path, qemu, kind, range(1, MOST), together, interface=interface,
                 iothread=iothread, names=names, fails=fails)
    assert 12 <= last < MOST - 1, f'the operation has {last} writes'


# At moments of choice

@pairs('how, kind', ('killed', 'drive'), ('stopped', 'blockdev'), ('killed', 'blockdev'), quick=[0])
def test_death_in_the_upload(qemu, how, kind, imaging):
    """No process of ours outlives us; the image goes up anew, by its own id."""
    with imaging(qemu, kind=kind) as s:
        before = s.vm.acked()
        s.fill(size=56)
        operation = s.begin_image(disks='all')
        reader = s.wait_reader()
        s.wait_step(operation, 'upload')
        images = {image['id'] for image in s.daemon.get('/v1/images').json['images']}
        if how == 'stopped':
            s.daemon.stop()
        else:
            s.daemon.kill()
        wait_until(lambda: not os.path.exists(f'/proc/{reader}'), 'the reader is gone', 10)
        assert_runs(s)
        revive(s)
        operation = s.daemon.finished(operation)
        s.judge_full(operation, before, s.vm.acked())
        assert s.images == images
        s.assert_as_before()


@pairs('kind', ('drive',), ('blockdev',), quick=[1])
def test_death_with_a_guest_that_its_owner_has_paused(qemu, kind, imaging):
    """It ran when the image was asked for: it is not ours to let it run again."""
    with imaging(qemu, kind=kind) as s:
        before = s.vm.acked()
        with s.held_upload(disks='all') as operation:
            s.vm.qmp.execute('stop')
            s.daemon.kill()
        revive(s)
        operation = s.daemon.finished(operation)
        assert s.status() == 'paused', 'a guest that its owner has paused runs'
        s.judge_full(operation, before, s.vm.acked())
        s.assert_as_before()
        s.vm.qmp.execute('cont')
        assert_runs(s)


@pairs('kind', ('blockdev',), ('drive',), quick=[0])
def test_death_on_the_way_back(qemu, kind, imaging):
    """The commit runs on without us, and is found again."""
    with imaging(qemu, kind=kind) as s:
        before = s.vm.acked()
        operation, (job,) = s.held_fold()
        s.daemon.kill()
        assert_runs(s)
        revive(s)
        s.hasten(job)
        s.judge_full(s.daemon.finished(operation), before, s.vm.acked())
        s.assert_as_before()


@pairs('kind', ('drive',), ('blockdev',), quick=[1])
def test_death_while_the_guest_is_stopped(qemu, kind, imaging):
    """For an overlay that is late: whoever comes after lets it go on."""
    with imaging(qemu, kind=kind) as s:
        before = s.vm.acked()
        operation, (job,) = s.held_fold(deadline=1, on_deadline='stop')
        s.wait_step(operation, 'pivot')
        wait_until(lambda: s.status() == 'paused', 'the guest is held', 20)
        s.daemon.kill()
        s.hasten(job)
        assert s.status() == 'paused'
        revive(s)
        s.judge_full(s.daemon.finished(operation), before, s.vm.acked())
        assert_runs(s)
        s.assert_as_before()


@pairs('kind', ('blockdev',), ('drive',), quick=[0])
def test_death_while_the_guest_is_throttled(qemu, kind, imaging):
    with imaging(qemu, kind=kind) as s:
        before = s.vm.acked()
        operation, (job,) = s.held_fold(deadline=3, on_deadline='throttle')
        wait_until(s.limits, 'the device is limited', 20)
        s.daemon.kill()
        s.hasten(job)
        revive(s)
        s.judge_full(s.daemon.finished(operation), before, s.vm.acked())
        assert not s.limits()
        s.assert_as_before()


@pairs('name, dies, kind', ('layer', 'daemon', 'drive'), ('overlay', 'daemon', 'blockdev'),
       ('layer', 'both', 'blockdev'), ('overlay', 'both', 'drive'),
       ('layer', 'daemon', 'blockdev'), ('overlay', 'daemon', 'drive'), quick=[0, 1])
def test_death_before_the_pivot(qemu, name, dies, kind, imaging):
    """A commit stands still between its complete and its pivot, and the guest's writes with it.

    Where the name leads says whether it is let go on.
    """
    with imaging(qemu, kind=kind) as s:
        before = s.vm.acked()
        with s.held_upload(disks='all') as operation:
            s.fill('disk1', pattern=9)
        job, slow = s.fold_job(operation), s.slow_fold(operation, 1)
        s.vm.qmp.wait_event('JOB_STATUS_CHANGE', {'id': job, 'status': 'ready'})
        s.daemon.kill()
        s.vm.qmp.execute('job-complete', id=job)
        s.vm.qmp.wait_event('JOB_STATUS_CHANGE', {'id': job, 'status': 'pending'})
        path = s.paths[0][0]
        if name == 'layer':
            os.link(path + '.0', path + '.tmp')
            os.rename(path + '.tmp', path)
        s.last = s.vm.acked() + 1
        if dies == 'both':
            s.vm.kill()
            s.judge_name()
            s.restarted = True
            s.vm.start()
            revive(s)
            operation = s.daemon.finished(operation)
            s.judge_full(operation, before, s.last, folded=False)
            kept = s.judge_kept(operation, begun=True)
            assert len(kept) == (1 if name == 'layer' else 2)
            s.renamed.clear()
        else:
            s.hasten(slow)
            revive(s)
            assert_runs(s)
            s.judge_full(s.daemon.finished(operation), before, s.vm.acked())
            s.assert_as_before()


CASES = [('guest', 'drive', 'virtio', False), ('both', 'blockdev', 'scsi', True),
         ('guest', 'blockdev', 'scsi', True), ('both', 'drive', 'scsi', False),
         ('both', 'drive', 'virtio', False), ('guest', 'drive', 'scsi', False),
         ('both', 'drive', 'scsi', True), ('daemon', 'drive', 'virtio', False),
         ('daemon', 'drive', 'scsi', True), ('daemon', 'blockdev', 'virtio', False)]


def deaths(rounds, qemu, who, kind, interface, iothread, imaging):
    moments = random.Random(f'{qemu} {who} {kind} {interface}')
    with imaging(qemu, kind=kind, interface=interface, iothread=iothread) as s:
        s.known = set()
        took = 0.5
        for round_ in range(rounds):
            if who == 'daemon' and round_ % 2:
                s.restart()
            s.note()
            before = s.vm.acked()
            operation = s.begin_image(name=str(round_), disks='all')
            time.sleep(moments.uniform(0, took * 1.2))
            if who in ('both', 'daemon'):
                s.daemon.kill()
            if who in ('both', 'guest'):
                s.vm.kill()
                s.judge_name()
                s.restarted = True
                s.last = s.vm.acked() + 1
                s.vm.start()
                s.vm.wait_for_writes(20)
            if who in ('both', 'daemon'):
                s.daemon.start()
            s.wait_attached()
            begun = time.monotonic()
            s.daemon.finished(operation)
            took = max(took, min(3, time.monotonic() - begun))
            if who == 'daemon':
                s.last = s.vm.acked()
            assert_runs(s)
            settle(s, before, who == 'daemon', {'failed'})
            if who != 'daemon':
                s.renamed.clear()
            s.judge()
        s.compare_restored(s.backup())


@pairs('who, kind, interface, iothread', CASES[0], CASES[1], CASES[7], quick=[0])
def test_death_at_any_moment(qemu, who, kind, interface, iothread, imaging):
    deaths(3, qemu, who, kind, interface, iothread, imaging)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pairs('who, kind, interface, iothread', *CASES)
def test_many_deaths(qemu, who, kind, interface, iothread, imaging):
    deaths(20, qemu, who, kind, interface, iothread, imaging)
