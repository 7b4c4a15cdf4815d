# SPDX-License-Identifier: Apache-2.0
"""The daemon dies at each of its journal's writes, or the guest does, or both; or there is no room.

Whatever moment it is: the operation is finished or undone by the daemon that comes after, the guest
was never left standing, and its disks start from their own names.
"""

import http.client
import os
import random
import subprocess
import time

import pytest

from support import Disk, create_qcow2, create_raw
from support.scene import pairs

KILL_AT = 'QSNAPD_TEST_KILL_AT_JOURNAL_WRITE'
MOST = 80       # an operation on two disks has fewer writes than that


def begin(s):
    """Asks for a point, of a daemon that may die meanwhile; whether it did."""
    try:
        answer = s.ask(name='p', metadata={'a': 'b'})
        assert answer.status == 202, answer.body
        s.daemon.finished(answer.json, timeout=60)
        return False
    except (OSError, http.client.HTTPException):
        assert s.daemon.wait() == -9, s.daemon.log[-3000:]
        return True


def settle(s, before):
    """Waits until what the journal holds is over; judges what became of it."""
    for operation in s.operations():
        operation = s.daemon.finished(operation, timeout=60)
        if operation['state'] == 'succeeded':
            s.judge_point(operation, before, max(s.vm.acked(), s.last))
            s.compare_restored(operation)
        else:
            assert operation['state'] == 'failed', operation
            assert 'disks' not in operation['result'], 'a point that was taken is finished, not given up'
            images = s.daemon.get('/v1/images').json['images']
            s.images = {image['id'] for image in images}
            assert not images, 'an operation that was undone has left images'
    return {operation['state'] for operation in s.operations()}


def assert_runs(s):
    assert s.vm.qmp.execute('query-status')['status'] == 'running', 'the guest was left standing'
    s.vm.wait_for_writes(5)


def scenario(scene, folder, qemu, kind, write, together, **options):
    """One death; whether the operation came that far. The first operation of a guest, and one later."""
    folder.mkdir()
    names = options.pop('names', False)
    for name in 'ab':
        (folder / name).mkdir()
    disks = [Disk(create_qcow2(folder / name / 'disk', qemu=qemu), names=names) for name in 'ab']
    with scene.func(folder, qemu, disks, kind=kind, **options) as s:
        s.daemon.stop()
        s.daemon.env[KILL_AT] = str(write)
        s.last = 0
        before = s.vm.acked()
        try:
            s.daemon.start()
            s.wait_attached()
            died = begin(s)
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
            s.daemon.start()
            s.wait_attached()
        else:
            s.daemon.stop()     # or its count would go on
            s.daemon.start()
            s.wait_attached()
        settle(s, before)
        if together:
            s.renamed.clear()
        assert_runs(s)
        s.judge()
        s.compare_restored(s.backup(name='next'))
    return died


def sweep(scene, folder, qemu, kind, writes, together, **options):
    reached = 0
    for write in writes:
        if not scenario(scene, folder / f'w{write}', qemu, kind, write, together, **options):
            break
        reached = write
    return reached


@pairs('kind, together, first',
       ('drive', False, 2), ('blockdev', False, 3), ('blockdev', True, 4), ('drive', True, 5))
def test_death_at_some_writes(qemu, kind, together, first, scene, tmp_path):
    """Every fourth write; all four cases together touch each."""
    assert sweep(scene, tmp_path, qemu, kind, range(first, MOST, 4), together) >= 9


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize('together', [False, True], ids=['daemon', 'daemon-and-guest'])
@pairs('kind, interface, iothread, names',
       ('drive', 'virtio', False, False), ('drive', 'scsi', False, False),
       ('blockdev', 'virtio', False, False), ('blockdev', 'scsi', False, True),
       ('blockdev', 'scsi', True, False), ('drive', 'scsi', True, True))
def test_death_at_every_write(qemu, kind, interface, iothread, names, together, scene, tmp_path):
    last = sweep(scene, tmp_path, qemu, kind, range(1, MOST), together, interface=interface,
                 iothread=iothread, names=names)
    assert 12 <= last < MOST - 1, f'the operation has {last} writes'


CASES = [('guest', 'drive', 'virtio', False), ('both', 'blockdev', 'scsi', True),
         ('guest', 'blockdev', 'scsi', True), ('both', 'drive', 'scsi', False),
         ('both', 'drive', 'virtio', False), ('guest', 'drive', 'scsi', False),
         ('both', 'drive', 'scsi', True), ('daemon', 'drive', 'virtio', False),
         ('daemon', 'drive', 'scsi', True), ('daemon', 'blockdev', 'virtio', False)]


def deaths(rounds, qemu, who, kind, interface, iothread, scene):
    moments = random.Random(f'{qemu} {who} {kind} {interface}')
    with scene(qemu, kind=kind, interface=interface, iothread=iothread) as s:
        for round_ in range(rounds):
            if who == 'daemon' and round_:      # so that each is a first point, which stops the guest
                s.restart()
            before = s.vm.acked()
            operation = s.begin(name=str(round_))
            time.sleep(moments.uniform(0, 0.15) * (round_ > 0))
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
            operation = s.daemon.finished(operation)
            if who == 'daemon':
                s.last = s.vm.acked()
            assert_runs(s)
            if operation['state'] == 'succeeded':
                s.judge_point(operation, before, s.last)
                s.compare_restored(operation)
            else:
                assert operation['state'] == 'failed', operation
                judge_no_images(s, operation)
            if who != 'daemon':
                s.renamed.clear()
            s.judge()
        s.compare_restored(s.backup())


@pairs('who, kind, interface, iothread', *CASES)
def test_death_at_any_moment(qemu, who, kind, interface, iothread, scene):
    """Of either or of both, within the moment that the guest stands still too."""
    deaths(4, qemu, who, kind, interface, iothread, scene)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pairs('who, kind, interface, iothread', *CASES)
def test_many_deaths(qemu, who, kind, interface, iothread, scene):
    deaths(20, qemu, who, kind, interface, iothread, scene)


def judge_no_images(s, operation):
    images = s.daemon.get('/v1/images').json['images']
    assert not [image for image in images if image['properties'].get('qsnapd_point') == operation['id']]
    s.images = {image['id'] for image in images}


@pairs('how', ('stopped',), ('killed',))
def test_an_upload_goes_on_after_a_restart(qemu, how, scene, tmp_path):
    create_raw(tmp_path / 'base', '192M', content=b'the end', qemu=qemu)
    disk = create_qcow2(tmp_path / 'disk', '64M', backing='base', backing_format='raw', qemu=qemu)
    with scene(qemu, [disk], kind='blockdev') as s:
        before = s.vm.acked()
        operation = s.begin()
        s.wait_step(operation, 'upload')
        told = s.daemon.get(f"/v1/operations/{operation['id']}").json['result']['images']
        if how == 'stopped':
            s.daemon.stop()
        else:
            s.daemon.kill()
        assert_runs(s)
        s.daemon.start()
        operation = s.daemon.finished(operation)
        s.judge_point(operation, before, s.vm.acked())
        assert len(told) == 2
        assert [image['id'] for image in operation['result']['images']] == [image['id'] for image in told]
        s.backup(parents='require')


@pairs('kind', ('drive',), ('blockdev',))
def test_no_room_in_the_store(qemu, kind, scene, tmp_path):
    """The point stays, no image of it does, and with room again the layer is uploaded."""
    store = tmp_path / 'd/images'
    store.mkdir(parents=True)
    mounted = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=2m', 'none', store],
                             capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f'no small filesystem can be made here: {mounted.stderr.strip()}')
    try:
        create_raw(tmp_path / 'base', content=os.urandom(4 << 20), qemu=qemu)
        disks = [create_qcow2(tmp_path / 'x', qemu=qemu),
                 create_qcow2(tmp_path / 'y', '64M', backing='base', backing_format='raw', qemu=qemu)]
        with scene(qemu, disks, kind=kind) as s:
            before = s.vm.acked()
            operation = s.daemon.snapshot(s.guest)
            assert operation['state'] == 'failed'
            assert operation['error']['code'] == 'no-space', operation['error']
            judge_no_images(s, operation)
            s.judge_layers(operation, before, s.vm.acked())
            s.judge()
            subprocess.run(['mount', '-o', 'remount,size=64m', store], check=True)
            operation = s.backup()
            assert len(operation['result']['images']) == 5
            s.compare_restored(operation)
    finally:
        subprocess.run(['umount', '-l', store], check=True)
