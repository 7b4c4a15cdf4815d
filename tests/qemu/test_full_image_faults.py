# SPDX-License-Identifier: Apache-2.0
"""Full images that come to nothing, or are disturbed: the disk is given back, or it is told why."""

import os
import random
import signal
import time

import pytest

from support import create_qcow2, qemus
from support.agent import Agent
from support.full import small_filesystem
from support.scene import pairs

every = pytest.mark.parametrize('qemu', qemus(), ids=str)

FOREVER = {'format': 'raw', 'disks': ['disk0']}     # of a disk of this size
VAST = '4T'


def vast(folder, qemu):
    """Two disks; a raw image of the first takes for ever."""
    for name in 'xy':
        (folder / name).mkdir()
    return [create_qcow2(folder / 'x/disk', VAST, qemu=qemu),
            create_qcow2(folder / 'y/disk', qemu=qemu)]


def cancel(s, operation):
    answer = s.daemon.delete(f"/v1/operations/{operation['id']}")
    assert answer.status in (200, 202, 204), answer.body
    return s.daemon.finished(operation)


def works_again(s):
    """A full image and a point are made as ever."""
    s.vm.wait_for_writes(10)
    s.judge()
    s.note()
    s.full(disks=['disk1'])


# Cancelled

@pairs('kind, interface', ('drive', 'virtio'), ('blockdev', 'scsi'), quick=[0])
def test_cancelled_in_the_midst_of_the_upload(qemu, kind, interface, imaging, tmp_path):
    with imaging(qemu, vast(tmp_path, qemu), kind=kind, interface=interface) as s:
        operation = s.begin_image(**FOREVER)
        s.wait_step(operation, 'upload')
        # Nobody else may have the disk meanwhile, nor the guest be detached.
        for answer in (s.ask_image(), s.ask(), s.ask(disks=['disk0'])):
            assert answer.status == 409 and operation['id'] in answer.error['message']
        answer = s.daemon.delete(f'/v1/guests/{s.guest}')
        assert answer.status == 409 and operation['id'] in answer.error['message']
        image, = s.daemon.get('/v1/images').json['images']
        assert image['status'] != 'active'
        assert s.daemon.delete(f"/v1/images/{image['id']}").status == 409
        s.vm.wait_for_writes(20)
        begun = time.monotonic()
        operation = cancel(s, operation)
        assert time.monotonic() - begun < 20, 'it took long to hear of the cancel'
        assert operation['state'] == 'cancelled'
        s.judge_nothing_made(operation)
        works_again(s)


@pairs('kind', ('blockdev',), ('drive',), quick=[1])
def test_cancelled_while_it_is_folded_back(qemu, kind, imaging):
    """That goes on to its end; the image goes."""
    with imaging(qemu, kind=kind) as s:
        operation, (job,) = s.held_fold()
        answer = s.daemon.delete(f"/v1/operations/{operation['id']}")
        assert answer.status in (200, 202, 204), answer.body
        s.vm.wait_for_writes(20)
        s.hasten(job)
        operation = s.daemon.finished(operation)
        assert operation['state'] == 'cancelled', operation
        s.judge_nothing_made(operation)
        works_again(s)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pairs('kind, interface, iothread', ('drive', 'virtio', False), ('blockdev', 'scsi', True),
       ('blockdev', 'virtio', False), ('drive', 'scsi', True))
def test_cancelled_at_any_moment(qemu, kind, interface, iothread, imaging):
    moments = random.Random(f'{qemu} {kind}')
    with imaging(qemu, kind=kind, interface=interface, iothread=iothread) as s:
        seen = []
        for round_ in range(30):
            before = s.vm.acked()
            operation = s.begin_image(name=str(round_), disks='all')
            time.sleep(moments.uniform(0, 1.5) * (round_ > 0))
            s.daemon.delete(f"/v1/operations/{operation['id']}")
            operation = s.daemon.finished(operation)
            seen.append(operation['state'])
            assert s.status() == 'running'
            if operation['state'] == 'succeeded':
                s.judge_full(operation, before, s.vm.acked())
                s.assert_as_before()
            else:
                s.judge_nothing_made(operation)
            s.judge()
        assert {'cancelled', 'succeeded'} <= set(seen)
        works_again(s)


# Uploads that fail

def fails(s, operation, code, *words):
    operation = s.daemon.finished(operation)
    assert operation['state'] == 'failed', operation
    assert operation['error']['code'] == code, operation['error']
    for word in words:
        assert word in operation['error']['message'], operation['error']
    s.judge_nothing_made(operation)
    return operation


@pairs('kind', ('drive',), ('blockdev',), quick=[0])
def test_no_room_in_the_store(qemu, kind, imaging, tmp_path):
    with small_filesystem(tmp_path / 'd/images', '8m') as store, imaging(qemu, kind=kind) as s:
        s.fill()
        fails(s, s.begin_image(disks='all'), 'no-space')
        assert not os.listdir(store)
        s.vm.wait_for_writes(20)
        s.full(disks=['disk1'])


@pairs('kind', ('blockdev',), ('drive',), quick=[1])
def test_the_process_that_reads_is_killed(qemu, kind, imaging):
    with imaging(qemu, kind=kind) as s:
        with s.held_upload(disks='all') as operation:
            for reader in s.readers():
                os.kill(reader, signal.SIGKILL)
        fails(s, operation, 'internal', 'disk')
        works_again(s)


@pytest.mark.slow
@every
def test_the_process_that_reads_hangs(qemu, imaging):
    with imaging(qemu) as s:
        with s.held_upload() as operation:
            operation = s.daemon.finished(operation, timeout=200)
        assert operation['error']['code'] == 'timeout', operation['error']
        s.judge_nothing_made(operation)
        works_again(s)


@pairs('kind', ('drive',), ('blockdev',), quick=[0])
def test_there_is_no_program_that_reads(qemu, kind, imaging):
    with imaging(qemu, kind=kind, daemon={'daemon.storage-daemon': '/nonexistent'}) as s:
        for _ in range(2):
            operation = fails(s, s.begin_image(disks='all'), 'unavailable', '/nonexistent')
            assert 'qemu-storage-daemon' in operation['error']['hint']
            s.vm.wait_for_writes(20)
        s.judge()
        s.backup()


@pairs('kind', ('blockdev',), ('drive',), quick=[1])
def test_the_image_is_taken_away(qemu, kind, imaging):
    """By somebody who deletes the store's files."""
    with imaging(qemu, kind=kind) as s:
        with s.held_upload() as operation:
            for name in os.listdir(s.store):
                os.unlink(s.store / name)
        operation = s.daemon.finished(operation)
        assert operation['state'] == 'failed', operation
        s.judge_nothing_made(operation)
        works_again(s)


@pairs('kind', ('drive',), ('blockdev',), quick=[0])
def test_somebody_touches_a_layer(qemu, kind, imaging):
    """QEMU's locks prove that nobody writes to what is read: a new date alone is of no importance."""
    with imaging(qemu, kind=kind) as s:
        before = s.vm.acked()
        with s.held_upload() as operation:
            os.utime(s.paths[0][0] + '.0')
        operation = s.daemon.finished(operation)
        s.judge_full(operation, before, s.vm.acked())
        works_again(s)


@pairs('kind, how', ('drive', 'cancelled'), ('blockdev', 'failed'), quick=[1])
def test_a_backup_whose_full_image_comes_to_nothing(qemu, kind, how, imaging):
    """The point stays, as that of any backup does."""
    with imaging(qemu, kind=kind) as s:
        before = s.vm.acked()
        s.fill()
        operation = s.begin(image='full')
        reader = s.wait_reader()
        os.kill(reader, signal.SIGSTOP if how == 'cancelled' else signal.SIGKILL)
        operation = cancel(s, operation) if how == 'cancelled' else s.daemon.finished(operation)
        assert operation['state'] == how
        s.forget_images(operation)
        s.judge_layers(operation, before, s.vm.acked())
        point, = s.daemon.get(f'/v1/guests/{s.guest}/snapshots').json['snapshots']
        assert [disk['image_id'] for disk in point['disks']] == [None, None]
        s.assert_nothing_reads()
        works_again(s)
        s.compare_restored(s.backup())


# Guests that stand still, or come to

@pairs('kind, interface', ('drive', 'virtio'), ('blockdev', 'scsi'), quick=[0])
def test_a_paused_guest_stays_paused(qemu, kind, interface, imaging):
    with imaging(qemu, kind=kind, interface=interface) as s:
        s.vm.qmp.execute('stop')
        s.still = True
        s.status()
        s.vm.qmp.events.clear()
        for _ in range(2):
            s.full(disks='all')
            assert s.status() == 'paused'
        assert not {'RESUME', 'STOP'} & {event['event'] for event in s.vm.qmp.events}
        s.vm.qmp.execute('cont')
        s.still = False
        works_again(s)


@pairs('kind, when',
       ('drive', 'upload'), ('blockdev', 'fold'), ('blockdev', 'upload'), ('drive', 'fold'),
       quick=[1])
def test_a_guest_that_its_owner_pauses_stays_paused(qemu, kind, when, imaging):
    with imaging(qemu, kind=kind) as s:
        before = s.vm.acked()
        if when == 'upload':
            with s.held_upload() as operation:
                s.vm.qmp.execute('stop')
        else:
            operation, (job,) = s.held_fold()
            s.vm.qmp.execute('stop')
            s.hasten(job)
        operation = s.daemon.finished(operation)
        assert s.status() == 'paused'
        s.judge_full(operation, before, s.vm.acked())
        s.assert_as_before()
        s.vm.qmp.execute('cont')
        works_again(s)


@pairs('kind', ('blockdev',), ('drive',), quick=[0])
def test_a_guest_that_is_reset(qemu, kind, imaging):
    with imaging(qemu, kind=kind) as s:
        before = s.vm.acked()
        with s.held_upload() as operation:
            s.fill(pattern=9)
            s.vm.qmp.execute('system_reset')
        job = s.slow_fold(operation)
        s.vm.qmp.execute('system_reset')
        s.hasten(job)
        s.judge_full(s.daemon.finished(operation), before, s.vm.acked())
        s.assert_as_before()
        works_again(s)


@pairs('kind', ('drive',), ('blockdev',), quick=[1])
def test_filesystems_are_frozen_around_the_point_alone(qemu, kind, imaging, tmp_path):
    agent = Agent(tmp_path / 'qga')
    try:
        with imaging(qemu, kind=kind, attach={'agent': str(tmp_path / 'qga')}) as s:
            operation = s.full(quiesce='require', disks='all')
            assert operation['result']['quiesced'] == 'yes'
            assert len(agent.times('fsfreeze-freeze')) == 1 and not agent.frozen
            upload, = [step for step in operation['steps'] if step['name'] == 'upload']
            assert max(agent.times('fsfreeze-thaw')) <= time.time()
            assert upload['state'] == 'done'
            agent.temper = 'refusing'
            s.vm.wait_for_writes(10)
            operation = s.daemon.finished(s.begin_image(quiesce='require', disks='all'))
            s.judge_nothing_made(operation)
            s.full(quiesce='try', disks='all')
    finally:
        agent.close()


@pairs('kind', ('blockdev',), ('drive',), quick=[0])
def test_a_disk_that_grows_meanwhile(qemu, kind, imaging):
    """The image is the point's; the guest keeps what it was given."""
    with imaging(qemu, kind=kind) as s:
        before = s.vm.acked()
        with s.held_upload() as operation:
            s.vm.qmp.execute('block_resize', node_name=s.root(), size=96 << 20)
        operation = s.daemon.finished(operation)
        s.judge_full(operation, before, s.vm.acked())
        assert s.devices()[1]['disk0']['size'] == 96 << 20
        s.note()
        works_again(s)


# Guests that go away

@pairs('kind, how, when', ('drive', 'quit', 'upload'), ('blockdev', 'kill', 'upload'),
       ('blockdev', 'quit', 'fold'), ('drive', 'kill', 'fold'), quick=[3])
def test_a_guest_that_ends(qemu, kind, how, when, imaging):
    """The image is whole; the overlay stays, and the guest starts from it."""
    with imaging(qemu, kind=kind) as s:
        before = s.vm.acked()
        if when == 'upload':
            with s.held_upload() as operation:
                s.vm.wait_for_writes(20)
                getattr(s.vm, how)()
        else:
            operation, _ = s.held_fold()
            s.vm.wait_for_writes(20)
            getattr(s.vm, how)()
        s.judge_name()
        operation = s.daemon.finished(operation)
        s.judge_full(operation, before, s.vm.acked(), folded=False)
        s.judge_kept(operation, 'ended', begun=when == 'fold')
        s.restart()
        s.note()
        works_again(s)
        s.compare_restored(s.backup())


@pairs('kind', ('drive',), ('blockdev',), quick=[1])
def test_a_guest_that_is_started_anew_meanwhile(qemu, kind, imaging):
    with imaging(qemu, kind=kind) as s:
        before = s.vm.acked()
        with s.held_upload(disks='all') as operation:
            s.vm.wait_for_writes(20)
            s.restart()
        operation = s.daemon.finished(operation)
        s.judge_full(operation, before, s.vm.acked(), folded=False)
        s.judge_kept(operation, 'anew')
        s.renamed.clear()
        s.judge()
        s.note()
        s.full(disks='all')


# Foreign hands

@pairs('kind, how',
       ('drive', 'cancel'), ('blockdev', 'cancel'), ('blockdev', 'force'), ('drive', 'force'),
       quick=[0])
def test_somebody_cancels_the_commit(qemu, kind, how, imaging):
    with imaging(qemu, kind=kind) as s:
        before = s.vm.acked()
        operation, (job,) = s.held_fold()
        s.vm.qmp.execute('block-job-cancel', device=job, force=how == 'force')
        operation = s.daemon.finished(operation)
        s.judge_full(operation, before, s.vm.acked(), folded=False)
        s.judge_kept(operation, 'cancel', begun=True)
        s.note()
        works_again(s)
        s.compare_restored(s.backup())


@pairs('kind, commands', ('drive', 'job-cancel'), ('blockdev', 'job-complete'),
       ('blockdev', 'job-complete job-finalize'), ('drive', 'job-complete job-finalize'),
       ('blockdev', 'block-job-cancel'), ('drive', 'block-job-cancel job-finalize'), quick=[2])
def test_somebody_ends_a_commit_that_is_ready(qemu, kind, commands, imaging):
    """The first disk's is, and waits for the second one's."""
    with imaging(qemu, kind=kind) as s:
        before = s.vm.acked()
        with s.held_upload(disks='all') as operation:
            s.fill('disk1', pattern=9)
        first, slow = s.fold_job(operation), s.slow_fold(operation, 1)
        s.vm.qmp.wait_event('JOB_STATUS_CHANGE', {'id': first, 'status': 'ready'})
        for command in commands.split():
            if command == 'job-finalize':
                s.vm.qmp.wait_event('JOB_STATUS_CHANGE', {'id': first, 'status': 'pending'})
            key = 'device' if command.startswith('block') else 'id'
            s.vm.qmp.execute(command, {key: first})
        s.hasten(slow)
        operation = s.daemon.finished(operation)
        s.judge_full(operation, before, s.vm.acked(), folded=False)
        one, two = operation['result']['disks']
        s.judge_folded(two)
        if one['folded']:
            s.judge_folded(one)
        else:
            s.judge_kept(operation, begun=True)
        s.note()
        works_again(s)


@pairs('kind', ('blockdev',), ('drive',), quick=[0])
def test_somebody_takes_a_snapshot_meanwhile(qemu, kind, imaging, tmp_path):
    """The overlay is in the midst of a chain now, and stays; the name is theirs to keep right."""
    with imaging(qemu, kind=kind) as s:
        before = s.vm.acked()
        (tmp_path / 'theirs').mkdir()
        with s.held_upload() as operation:
            top = create_qcow2(tmp_path / 'theirs/top', '64M', f'{s.paths[0][0]}.1', qemu=qemu)
            s.vm.qmp.execute('blockdev-add', driver='qcow2', node_name='theirs', backing=None,
                             file={'driver': 'file', 'filename': str(top)})
            s.vm.qmp.execute('blockdev-snapshot', node=s.root(), overlay='theirs')
        operation = s.daemon.finished(operation)
        s.judge_full(operation, before, s.vm.acked(), folded=False)
        s.judge_kept(operation, 'on top')
        s.vm.wait_for_writes(20)
        assert not s.vm.errors()
        s.vm.kill()
        s.paths[0] = (str(top), 'qcow2')
        s.judge_name()
        s.judge = s.daemon.stop
        s.end = list


@pairs('kind', ('drive',), ('blockdev',), quick=[1])
def test_a_disk_that_is_unplugged_meanwhile(qemu, kind, imaging):
    with imaging(qemu, kind=kind, interface='scsi') as s:
        before = s.vm.acked()
        with s.held_upload(disks='all') as operation:
            s.vm.qmp.execute('device_del', id='disk1')
            s.vm.qmp.wait_event('DEVICE_DELETED', {'device': 'disk1'})
        operation = s.daemon.finished(operation)
        s.judge_full(operation, before, s.vm.acked(), folded=False)
        one, two = operation['result']['disks']
        s.judge_folded(one)
        assert not two['folded'] and two['kept']
        assert os.path.samefile(two['path'], two['overlay'])
        assert not s.vm.qmp.execute('query-jobs')
        s.assert_nothing_reads()
        s.vm.kill()
        s.judge_name()
        s.judge = s.daemon.stop
        s.end = list
