# SPDX-License-Identifier: Apache-2.0
"""Who comes second, who has left something behind, and who does not know what to ask."""

import concurrent.futures
import os

import pytest

from support import create_qcow2, create_raw, qemus
from support.machine import wait_until
from support.oracles import graph
from support.scene import pairs

newest = pytest.mark.parametrize('qemu', qemus()[-1:], ids=str)


def slow_and_fast(folder, qemu):
    """Two disks; the base of the first takes long to be uploaded, and no room."""
    for name in 'xy':
        (folder / name).mkdir()
    create_raw(folder / 'x/base', '64G', qemu=qemu)
    return [create_qcow2(folder / 'x/disk', '64M', backing='base', backing_format='raw', qemu=qemu),
            create_qcow2(folder / 'y/disk', qemu=qemu)]


def cancel(s, operation, before):
    assert s.daemon.delete(f"/v1/operations/{operation['id']}").status in (200, 202, 204)
    operation = s.daemon.finished(operation)
    assert operation['state'] == 'cancelled', operation
    s.judge_layers(operation, before, s.vm.acked())
    return operation


@pairs('kind', ('drive',), ('blockdev',))
def test_a_disk_is_held_by_one_operation(qemu, kind, scene, tmp_path):
    with scene(qemu, slow_and_fast(tmp_path, qemu), kind=kind) as s:
        before = s.vm.acked()
        first = s.begin(disks=['disk0'])
        s.wait_step(first, 'upload')
        for disks in ['disk0'], ['disk1', 'disk0'], None:
            answer = s.ask(**({'disks': disks} if disks else {}))
            assert answer.status == 409 and answer.error['code'] == 'conflict'
            assert first['id'] in answer.error['message'], 'it does not say who holds the disk'
            assert 'cancel' in answer.error['hint']
        assert [operation['id'] for operation in s.operations()] == [first['id']]
        cancel(s, first, before)
        s.backup(parents='ignore')


@pairs('kind', ('blockdev',), ('drive',))
def test_disks_of_one_guest_go_in_parallel(qemu, kind, scene, tmp_path):
    with scene(qemu, slow_and_fast(tmp_path, qemu), kind=kind) as s:
        before = s.vm.acked()
        first = s.begin(disks=['disk0'])
        s.wait_step(first, 'upload')
        s.backup(disks=['disk1'])
        cancel(s, first, before)


def test_a_guest_with_an_open_operation_stays(scene, tmp_path):
    with scene(qemus()[0], slow_and_fast(tmp_path, qemus()[0])) as s:
        before = s.vm.acked()
        first = s.begin(disks=['disk0'])
        s.wait_step(first, 'upload')
        answer = s.daemon.delete(f'/v1/guests/{s.guest}')
        assert answer.status == 409
        assert first['id'] in answer.error['message']
        cancel(s, first, before)


def device_node(s, device='disk0'):
    return next(block['inserted']['node-name'] for block in s.vm.qmp.execute('query-block')
                if device in block.get('qdev', '').split('/'))


@pairs('kind, interface, iothread', ('drive', 'virtio', False), ('blockdev', 'scsi', False),
       ('blockdev', 'scsi', True), ('drive', 'virtio', True))
def test_a_mirror_left_behind(qemu, kind, interface, iothread, scene, tmp_path):
    (tmp_path / 'copy').mkdir()
    target = create_qcow2(tmp_path / 'copy/target', qemu=qemu)
    with scene(qemu, kind=kind, interface=interface, iothread=iothread) as s:
        qmp = s.vm.qmp
        qmp.execute('blockdev-add', driver='qcow2', node_name='target',
                    file={'driver': 'file', 'filename': str(target)})
        qmp.execute('blockdev-mirror', job_id='somebody', device=device_node(s), target='target',
                    sync='full')
        qmp.wait_event('JOB_STATUS_CHANGE', {'id': 'somebody', 'status': 'ready'})
        error = s.refused(409, 'conflict', 'somebody', 'disk0' if kind == 'blockdev' else 'drive0')
        assert 'end_jobs' in error['hint']
        s.backup(disks=['disk1'])
        s.backup(end_jobs=True)
        assert not qmp.execute('query-jobs')
        qmp.execute('blockdev-del', node_name='target')


@pairs('kind', ('drive',), ('blockdev',))
def test_a_commit_left_behind(qemu, kind, scene):
    """In the midst of the chain, held at its very end: cancelled, never finished."""
    with scene(qemu, kind=kind) as s:
        for _ in range(3):
            operation = s.backup()
        now, qmp = graph(s.vm.qmp), s.vm.qmp
        active = device_node(s)
        middle = now.children[active]['backing']
        below = now.children[middle]['backing']
        qmp.execute('block-commit', job_id='left', device=active, top_node=middle, base_node=below,
                    auto_finalize=False, auto_dismiss=False, speed=1)
        wait_until(lambda: qmp.execute('query-jobs'), 'the job is there')
        s.refused(409, 'conflict', 'left')
        s.frozen.pop(operation['result']['disks'][0]['layer'][:-1] + '1')     # may have received data
        s.backup(end_jobs=True)


@pairs('kind', ('blockdev',), ('drive',))
def test_strange_files_beside_the_disk_stay(qemu, kind, scene, tmp_path):
    disks = [create_qcow2(tmp_path / name, qemu=qemu) for name in 'xy']
    (tmp_path / 'x.1').write_text('not ours')
    (tmp_path / 'x.4').symlink_to('nowhere')
    (tmp_path / 'y.0').mkdir()
    (tmp_path / 'y.00').write_text('no number')
    (tmp_path / 'y.1').mkdir(mode=0o700)
    with scene(qemu, disks, kind=kind) as s:
        for _ in range(2):
            operation = s.backup()
        layers = [os.path.basename(disk['layer']) for disk in operation['result']['disks']]
        assert layers == ['x.6', 'y.3']
        assert (tmp_path / 'x.1').read_text() == 'not ours' and (tmp_path / 'x.4').is_symlink()


@newest
def test_the_same_request_again(qemu, scene):
    with scene(qemu, kind='blockdev') as s:
        key = {'Idempotency-Key': 'a-key'}
        before = s.vm.acked()
        first = s.ask(key, name='p', disks=['disk0'])
        again = s.ask(key, name='p', disks=['disk0'])
        assert (first.status, again.status) == (202, 202)
        assert first.json['id'] == again.json['id']
        assert first.headers['Location'] == again.headers['Location']
        s.judge_point(s.daemon.finished(first.json), before, s.vm.acked())
        s.refused(409, 'conflict', first.json['id'], headers=key, name='q', disks=['disk0'])
        s.daemon.stop()
        s.daemon.start()
        s.wait_attached()
        later = s.ask(key, disks=['disk0'], name='p')
        assert (later.status, later.json['id']) == (202, first.json['id'])
        assert later.json['state'] == 'succeeded'
        assert len(s.operations()) == 1


@newest
def test_the_same_request_twice_at_once(qemu, scene):
    with scene(qemu, kind='drive') as s, concurrent.futures.ThreadPoolExecutor(4) as pool:
        before = s.vm.acked()
        asked = [pool.submit(s.ask, {'Idempotency-Key': 'k'}, name='p') for _ in range(4)]
        answers = [future.result() for future in asked]
        assert {answer.status for answer in answers} == {202}, [answer.body for answer in answers]
        assert len({answer.json['id'] for answer in answers}) == 1
        s.judge_point(s.daemon.finished(answers[0].json), before, s.vm.acked())


@newest
def test_bad_requests(qemu, scene):
    with scene(qemu) as s:
        for members, word in [
            ({'nmae': 'x'}, 'nmae'),
            ({'name': ''}, 'name'), ({'name': 'x' * 256}, 'name'), ({'name': 1}, 'name'),
            ({'disks': []}, 'disks'), ({'disks': 'disk0'}, 'disks'), ({'disks': [1]}, 'disks'),
            ({'quiesce': 'maybe'}, 'none, try, require'), ({'image': 'whole'}, 'none, layer'),
            ({'parents': True}, 'parents'),
            ({'metadata': []}, 'metadata'), ({'metadata': {'a': 1}}, 'metadata'),
            ({'metadata': {'': 'x'}}, 'metadata'), ({'metadata': {'a': 'x' * 256}}, 'metadata'),
            ({'allow_format_change': 'yes'}, 'allow_format_change'), ({'end_jobs': 1}, 'end_jobs'),
            ({'overlay_folder': 'here'}, 'overlay_folder'), ({'image_ref': 'ubuntu'}, 'image_ref'),
            ({'image_ref': {'disk0': 7}}, 'image_ref'),
        ]:
            s.refused(400, 'invalid', word, **members)
        s.refused(409, 'conflict', 'agent', quiesce='require')
        assert s.daemon.post('/v1/guests/nobody/snapshots', {}).status == 404
        s.backup()


@newest
def test_properties_of_ours_are_not_for_others(qemu, scene):
    """What the caller says about an image must not pass for what we say."""
    with scene(qemu) as s:
        for name in 'qsnapd_parent', 'qsnapd_chain', 'qsnapd_anything':
            s.refused(400, 'invalid', name, metadata={name: 'x', 'other': 'y'})
        operation = s.backup(metadata={'other': 'y'})
        assert s.image(operation['result']['images'][0]['id'])['properties']['other'] == 'y'


@newest
def test_a_guest_that_is_gone(qemu, scene):
    with scene(qemu) as s:
        s.backup()
        s.vm.kill()
        wait_until(lambda: s.daemon.get('/v1/guests/g').json['state'] != 'attached', 'it is noticed')
        answer = s.ask()
        assert answer.status == 503 and answer.error['code'] == 'unavailable', answer.body
        s.restart()
        s.backup()
