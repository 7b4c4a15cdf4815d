# SPDX-License-Identifier: Apache-2.0
"""Layers are merged downwards while the guest writes: the points that are left keep their bits."""

import itertools
import os

import pytest

from support import Disk, create_qcow2, qemus
from support.chains import one_disk
from support.full import small_filesystem
from support.machine import wait_until
from support.scene import pairs

DEEP = 5


def name(path):
    return os.path.basename(path)


def commit(s, kept, top, base):
    """Commits layer `top` of a fresh chain (base first) into `base`, with all between.

    kept[i] lives in layer i, None where no point does. The points in what is merged go, but for the
    uppermost's, which moves down.
    """
    files = s.layers()
    places = {each.id: files.index(s.file_of(each)[0]) for each in kept if each.id in s.points}
    gone = [each for each in kept if places.get(each.id, -1) in range(base, top)]
    moved = [each for each in kept if places.get(each.id) == top]
    members = {'base': name(files[base])}
    if top < len(files) - 1:
        members['top'] = name(files[top])
    if gone:
        error = s.refuses(409, 'conflict', *(each.name for each in gone),
                          words=('disks', 'disk0', 'commit'), **members)
        assert 'discard_points' in error['hint']
        members['discard_points'] = True
    into = os.stat(files[base]).st_ino
    operation = s.commit(gone=gone, **members)
    left = s.layers()
    assert len(left) == len(files) - (top - base)
    assert os.stat(left[base]).st_ino == into, 'what takes the data is the base'
    for each in moved:
        assert os.stat(s.file_of(each)[0]).st_ino == into, f'{each.name} is elsewhere'
    for path in files[base + 1:top + 1]:
        assert path == s.paths[0][0] or not os.path.exists(path), f'{path} was left'
    return operation


WALKS = [((1, 0), (3, 2), (2, 1), (1, 0)), ((4, 3), (2, 0), (1, 0)), ((3, 0), (1, 0)),
         ((2, 1), (3, 1), (1, 0)), ((4, 2), (2, 1), (1, 0)), ((4, 0),), ((3, 1), (2, 0)),
         ((4, 1), (1, 0))]


@pairs('kind, interface, iothread, walk',
       ('drive', 'virtio', False, WALKS[0]), ('blockdev', 'scsi', True, WALKS[1]),
       ('blockdev', 'virtio', False, WALKS[2]), ('drive', 'scsi', True, WALKS[3]),
       ('drive', 'scsi', False, WALKS[4]), ('blockdev', 'virtio', True, WALKS[5]),
       ('blockdev', 'scsi', False, WALKS[6]), ('drive', 'virtio', True, WALKS[7]),
       quick=[0, 1, 3, 5])
def test_step_by_step_to_one_file(qemu, kind, interface, iothread, walk, chains, tmp_path):
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind, interface=interface,
                iothread=iothread) as s:
        kept = s.deepen(DEEP)
        for top, base in walk:
            commit(s, kept, top, base)
            s.grow()
        s.restart()
        s.point('afterwards')
        s.judge()


@pytest.mark.slow
@pytest.mark.parametrize('qemu', qemus(), ids=str)
@pytest.mark.parametrize('kind', ['drive', 'blockdev'])
@pytest.mark.parametrize('base, top', itertools.combinations(range(DEEP), 2))
def test_every_pair(qemu, kind, base, top, chains, tmp_path):
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        kept = s.deepen(DEEP)
        commit(s, kept, top, base)
        s.grow()
        s.point()
        s.judge()
        s.restart()
        s.judge()


@pairs('kind, named', ('blockdev', True), ('drive', False), ('drive', True), ('blockdev', False),
       quick=[0])
def test_two_disks_written_in_turn(qemu, kind, named, chains, tmp_path):
    """Both at a time, one operation each; a point of one disk alone is left when it must be."""
    for each in 'ab':
        (tmp_path / each).mkdir()
    disks = [Disk(create_qcow2(tmp_path / each / 'disk', qemu=qemu), names=named) for each in 'ab']
    with chains(qemu, disks, kind=kind) as s:
        first, second, third = s.deepen(4)
        both = [s.begin_to('disks', disk, 'commit', top=name(s.layers(i)[2]), base=name(s.layers(i)[1]),
                           discard_points=True) for i, disk in enumerate(['disk0', 'disk1'])]
        for operation in both:
            assert s.daemon.finished(operation)['state'] == 'succeeded'
        s.forget([second])
        s.judge()
        del first.copies[1]
        s.commit('disk1', top=name(s.layers(1)[1]), discard_points=True)
        assert [disk['disk'][-1] for disk in s.told(first)['disks']] == ['0']
        s.refuses(409, 'conflict', 'lost 1 of its 2 disks', 'disks',
                  words=('snapshots', first.id, 'revert'))
        del third.copies[0]
        s.commit('disk0', gone=[first], discard_points=True, base=name(s.layers()[0]))
        s.judge()


@pairs('kind', ('drive',), ('blockdev',), quick=[1])
def test_a_paused_guest(qemu, kind, chains, tmp_path):
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        kept = s.deepen(4)
        s.vm.qmp.execute('stop')
        s.still = True
        commit(s, kept, 2, 1)
        assert s.status() == 'paused'
        commit(s, kept, 2, 0)
        assert s.status() == 'paused', 'its owner has paused it'
        s.vm.qmp.execute('cont')
        s.still = False
        s.judge()


@pairs('kind', ('blockdev',), ('drive',), quick=[0])
def test_layers_by_path_and_by_point(qemu, kind, chains, tmp_path):
    """A named layer below the active one is a point: its name is the layer's wherever it lives."""
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        first, second, third = s.deepen(4)
        named = s.point('vor dem "Umzug" / früher')
        s.refuses(409, 'conflict', second.name, words=('disks', 'disk0', 'commit'),
                  top=third.name, base=second.id)
        s.commit(top=third.name, base=second.id, discard_points=True, gone=[second])
        assert s.file_of(third)[0] == s.layers()[1]
        s.commit(top=s.layers()[1], base=first.name, discard_points=True, gone=[first])
        s.commit(base=named.name, discard_points=True, gone=[named])
        assert len(s.layers()) == 2 and s.file_of(third)[0] == s.layers()[0]


@pairs('kind', ('drive',), ('blockdev',), quick=[0])
def test_what_is_refused(qemu, kind, chains, tmp_path):
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        kept = s.deepen(4)
        files = [name(path) for path in s.layers()]
        words = ('disks', 'disk0', 'commit')
        s.refuses(400, 'invalid', 'colour', words=words, colour='red')
        s.refuses(400, 'invalid', 'speed', words=words, speed=-1)
        s.refuses(400, 'invalid', 'on_error', words=words, on_error='ignore')
        s.refuses(400, 'invalid', 'on_deadline', words=words, on_deadline='wait')
        s.refuses(404, 'not-found', 'nothing', words=words, base='nothing')
        s.refuses(404, 'not-found', 'disk7', words=('disks', 'disk7', 'commit'))
        s.refuses(409, 'conflict', files[2], words=words, top=files[1], base=files[2])
        s.refuses(409, 'conflict', files[1], words=words, top=files[1], base=files[1])
        s.aside.add(create_qcow2(tmp_path / 'a/other', backing='disk.1', qemu=qemu))
        s.refuses(409, 'conflict', 'other', words=words, top=files[1], base=files[0],
                  discard_points=True)
        s.refuses(409, 'conflict', 'other', words=words, top=files[2], base=files[1],
                  discard_points=True)
        (tmp_path / 'a/other').unlink()
        s.aside.clear()
        s.refuses(409, 'conflict', kept[0].name, words=words, top=files[1])
        job = 'somebody'
        s.vm.qmp.execute('blockdev-add', driver='null-co', node_name='nothing', size=64 << 20)
        s.vm.qmp.execute('blockdev-mirror', job_id=job, device=s.root(), target='nothing', sync='none',
                         auto_dismiss=False)
        s.refuses(409, 'conflict', job, words=words, discard_points=True)
        s.vm.qmp.execute('job-cancel', id=job)
        s.vm.qmp.wait_event('JOB_STATUS_CHANGE', {'id': job, 'status': 'concluded'})
        s.vm.qmp.execute('job-dismiss', id=job)
        s.vm.qmp.execute('blockdev-del', node_name='nothing')
        s.judge()


@pairs('kind', ('blockdev',), ('drive',), quick=[1])
def test_the_plan_is_told_before_and_kept_to(qemu, kind, chains, tmp_path):
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        kept = s.deepen(4)
        before = s.state()
        members = {'top': name(s.layers()[2]), 'base': name(s.layers()[1]), 'discard_points': True}
        answer = s.ask_for('disks', 'disk0', 'commit', dry_run=True, **members)
        assert answer.status == 200, answer.body
        plan = answer.json
        assert s.state() == before
        move, = plan['moves']
        assert move['kind'] == 'commit' and move['disk'].endswith('0')
        assert 0 < plan['bytes'] <= 8 << 20
        operation = s.commit(gone=[kept[1]], **members)
        assert operation['result']['bytes'] == plan['bytes']
        moved = operation['result']['moves'][0]['moved']
        assert plan['bytes'] * 0.9 <= moved <= plan['bytes'] * 1.1


# While it runs

def slow(s, into=1, size=24):
    """A commit that hardly moves: the operation, and its job."""
    s.write(at=36, size=8)
    s.write(at=8, size=size)
    kept = s.point()
    s.grow()
    operation = s.begin_to('disks', 'disk0', 'commit', top=kept.name, base=name(s.layers()[into]),
                           discard_points=True, speed=1 << 20)
    job = wait_until(lambda: next(iter(s.vm.qmp.execute('query-jobs')), None), 'a job runs')
    return kept, operation, job['id']


def change(s, operation, **members):
    answer = s.daemon.request('PATCH', f"/v1/operations/{operation['id']}", members)
    assert answer.status in (200, 202), answer.body
    return answer.json


@pairs('kind', ('drive',), ('blockdev',), quick=[0])
def test_paused_hastened_and_resumed(qemu, kind, chains, tmp_path):
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        kept = s.deepen(3)
        _, operation, job = slow(s)
        change(s, operation, paused=True)
        wait_until(lambda: s.vm.qmp.execute('query-jobs')[0]['status'] == 'paused', 'it pauses')
        at = s.vm.qmp.execute('query-jobs')[0]['current-progress']
        s.vm.wait_for_writes(200)
        assert s.vm.qmp.execute('query-jobs')[0]['current-progress'] == at
        s.refuses(409, 'conflict', operation['id'], words=('disks', 'disk0', 'commit'))
        change(s, operation, paused=False, speed=0)
        operation = s.daemon.finished(operation)
        assert operation['state'] == 'succeeded', operation
        s.forget(kept[1:])
        s.judge()
        answer = s.daemon.request('PATCH', f"/v1/operations/{operation['id']}", {'speed': 1})
        assert answer.status == 409 and answer.error['code'] == 'conflict', answer.body


@pairs('kind', ('blockdev',), ('drive',), quick=[0])
def test_cancelled(qemu, kind, chains, tmp_path):
    """The guest is as it was; of the points only those in the target may be gone."""
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        kept = s.deepen(3)
        s.forget(kept[1:])
        _, operation, _ = slow(s)
        files = s.layers()
        answer = s.daemon.delete(f"/v1/operations/{operation['id']}")
        assert answer.status in (200, 202, 204), answer.body
        operation = s.daemon.finished(operation)
        assert operation['state'] == 'cancelled', operation
        assert s.layers() == files
        s.judge()
        s.commit(top=name(files[2]), base=name(files[1]), discard_points=True)


@pairs('on_error', ('stop',), ('report',), quick=[0])
def test_no_room(qemu, on_error, chains, tmp_path):
    """A target that is full: told, and resumed or given up as it was asked for."""
    with small_filesystem(tmp_path / 'a', '24m') as folder:
        disks = [create_qcow2(folder / 'disk', qemu=qemu)]
        with chains(qemu, disks, kind='blockdev') as s:
            s.write(at=4, size=1)
            s.point('first')
            s.write(at=8, size=8)
            second = s.point('second')
            s.grow()
            room = folder / 'filler'
            room.write_bytes(bytes(9 << 20))
            s.aside.add(room)
            operation = s.begin_to('disks', 'disk0', 'commit', top=second.name,
                                   discard_points=True, on_error=on_error)
            s.points.pop(next(iter(s.points)))
            if on_error == 'report':
                operation = s.daemon.finished(operation)
                assert operation['state'] == 'failed', operation
                assert operation['error']['code'] == 'no-space', operation['error']
                s.judge()
                room.unlink()
                s.aside.clear()
                s.commit(top=second.name)
                return
            wait_until(lambda: [job for job in s.vm.qmp.execute('query-block-jobs')
                                if job['io-status'] == 'nospace'], 'the job stands')
            now = s.daemon.get(f"/v1/operations/{operation['id']}").json
            assert now['state'] == 'running'
            room.unlink()
            s.aside.clear()
            change(s, operation, paused=False)
            if s.status() != 'running':
                s.vm.qmp.execute('cont')
            operation = s.daemon.finished(operation)
            assert operation['state'] == 'succeeded', operation
            s.judge()
