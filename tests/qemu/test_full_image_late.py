# SPDX-License-Identifier: Apache-2.0
"""Overlays that do not go back in time: the guest is held, slowed down, or left alone."""

import pytest

from support import create_qcow2
from support.full import LIMITS, small_filesystem
from support.machine import wait_until
from support.scene import pairs


def late(s, on_deadline, deadline=1, **members):
    """An image whose overlay is late after some seconds; the operation, its job, the records before."""
    before = s.vm.acked()
    operation, (job,) = s.held_fold(deadline=deadline, on_deadline=on_deadline, **members)
    return operation, job, before


def stays(s, operation, before, *words):
    """The overlay has stayed, the guest runs as before, and all goes on from there."""
    operation = s.daemon.finished(operation)
    assert s.status() == 'running', 'the guest was left standing'
    s.judge_full(operation, before, s.vm.acked(), folded=False)
    kept, = s.judge_kept(operation, *words, begun=True)
    assert not hasattr(s.vm, 'kind') or not s.limits()
    assert s.vm.qmp.execute('query-jobs') == []
    s.vm.wait_for_writes(20)
    s.judge()
    s.note()
    s.full(disks='all')
    s.compare_restored(s.backup(name='next'))
    return kept


@pairs('kind', ('drive',), ('blockdev',), quick=[0])
def test_it_is_left(qemu, kind, imaging):
    with imaging(qemu, kind=kind) as s:
        operation, _, before = late(s, 'leave')
        stays(s, operation, before, 'faster', '1 s')


@pairs('kind, interface, iothread', ('drive', 'virtio', False), ('blockdev', 'scsi', True),
       quick=[1])
def test_the_guest_is_stopped_for_a_moment(qemu, kind, interface, iothread, imaging):
    with imaging(qemu, kind=kind, interface=interface, iothread=iothread) as s:
        operation, job, before = late(s, 'stop')
        s.vm.qmp.events.clear()         # the point's own
        s.vm.qmp.wait_event('STOP')
        s.hasten(job)
        operation = s.daemon.finished(operation)
        s.vm.qmp.wait_event('RESUME')
        assert s.status() == 'running'
        s.judge_full(operation, before, s.vm.acked())
        s.assert_as_before()


@pytest.mark.slow
@pairs('kind', ('drive',), ('blockdev',))
def test_while_it_stands_no_speed_holds(qemu, kind, imaging):
    """Jobs that were slowed down are let go: each moment that the guest stands counts more."""
    with imaging(qemu, kind=kind) as s:
        before = s.vm.acked()
        operation, _ = s.held_fold(['disk0', 'disk1'], disks='all', deadline=1, on_deadline='stop')
        s.vm.qmp.wait_event('STOP')
        operation = s.daemon.finished(operation)
        assert s.status() == 'running', 'the guest was left standing'
        s.judge_full(operation, before, s.vm.acked())
        s.assert_as_before()


@pairs('kind, interface, iothread', ('drive', 'virtio', False), ('blockdev', 'scsi', True),
       ('blockdev', 'virtio', True), quick=[0])
def test_the_guest_is_throttled(qemu, kind, interface, iothread, imaging):
    with imaging(qemu, kind=kind, interface=interface, iothread=iothread) as s:
        operation, job, before = late(s, 'throttle', deadline=3)   # it is given up as long after
        s.vm.qmp.events.clear()
        wait_until(s.limits, 'the device is limited', 20)
        assert not s.limits('disk1')
        assert s.limits().keys() == {'bps_wr', 'iops_wr'}
        s.hasten(job)
        operation = s.daemon.finished(operation)
        assert not s.limits()
        s.judge_full(operation, before, s.vm.acked())
        s.assert_as_before()
        assert 'STOP' not in {event['event'] for event in s.vm.qmp.events}


@pairs('kind', ('blockdev',), ('drive',), quick=[])
def test_throttling_it_does_not_help(qemu, kind, imaging):
    with imaging(qemu, kind=kind) as s:
        operation, _, before = late(s, 'throttle', deadline=3)
        wait_until(s.limits, 'the device is limited', 20)
        stays(s, operation, before, 'faster')


@pairs('kind', ('drive',), ('blockdev',), quick=[0])
def test_limits_of_the_owners_stay(qemu, kind, imaging):
    limited = {'bps_wr': 50 << 20, 'iops_rd': 70000}
    with imaging(qemu, kind=kind) as s:
        s.vm.qmp.execute('block_set_io_throttle', {
            'id': s.device()['qdev'], **dict.fromkeys(LIMITS, 0), **limited})
        s.note()
        operation, _, before = late(s, 'throttle')
        operation = s.daemon.finished(operation)
        assert s.limits() == limited
        s.judge_full(operation, before, s.vm.acked(), folded=False)
        s.judge_kept(operation, begun=True)
        s.note()
        s.full()
        assert s.limits() == limited


@pairs('kind', ('blockdev',), ('drive',), quick=[1])
def test_no_room_in_the_layer(qemu, kind, imaging, tmp_path):
    """What the overlay holds does not fit into the layer: it stays, with QEMU's reason."""
    with small_filesystem(tmp_path / 'x', '70m') as folder:
        with imaging(qemu, [create_qcow2(folder / 'disk', '256M')], kind=kind) as s:
            before = s.vm.acked()
            with s.held_upload(size=20) as operation:
                s.fill(pattern=9, at=100, size=25)
                s.vm.wait_for_writes(1100, timeout=60)      # it needs no new cluster now
                fill_up(folder / 'filler')
            operation = s.daemon.finished(operation)
            s.judge_full(operation, before, s.vm.acked(), folded=False)
            s.judge_kept(operation, 'space', begun=True)
            (folder / 'filler').unlink()
            s.vm.wait_for_writes(20)
            s.judge()
            s.note()
            s.full()


def fill_up(path):
    try:
        with open(path, 'wb', buffering=0) as file:
            while True:
                file.write(bytes(4096))
    except OSError:
        pass


@pairs('speed, kind', (1 << 20, 'drive'), (1 << 20, 'blockdev'), quick=[0])
def test_progress_is_told(qemu, speed, kind, imaging):
    """In bytes, of the upload and of the way back."""
    with imaging(qemu, kind=kind) as s:
        before = s.vm.acked()
        with s.held_upload() as operation:
            s.fill(pattern=9)
        job = s.slow_fold(operation, speed=speed)
        def told():
            now = s.daemon.get(f"/v1/operations/{operation['id']}").json
            done, total = now['progress']['done'], now['progress']['total']
            return now['step'] == 'commit-back' and 0 < done < total
        wait_until(told, 'the way back is told', 20)
        s.hasten(job)
        s.judge_full(s.daemon.finished(operation), before, s.vm.acked())
        s.assert_as_before()
