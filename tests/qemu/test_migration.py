# SPDX-License-Identifier: Apache-2.0
"""A guest goes from one QEMU to another, over files that both see: as long as it is not at home here,
its disks are left alone."""

import os
import signal

from support import Disk, Machine, create_qcow2, create_raw
from support.chains import FIRST, one_disk
from support.full import children
from support.machine import wait_until
from support.scene import pairs


def run_state(s, guest):
    return s.daemon.get(f'/v1/guests/{guest}').json['run_state']


def wait_run_state(s, guest, state):
    wait_until(lambda: run_state(s, guest) == state, f'{guest} is {state}', 20, interval=0.02)


def refused(s, guest, state, *hints):
    """Nothing is done to its disks."""
    before, here = s.state(), s.guest
    s.guest = guest
    try:
        for answer in (s.ask(image='none'), s.daemon.post(f'/v1/guests/{guest}/images', {}),
                       s.daemon.post(f'/v1/guests/{guest}/disks/disk0/stream', {})):
            assert (answer.status, answer.error['code']) == (409, 'conflict'), answer.body
            assert state in answer.error['message'], answer.error
            assert all(hint in answer.error['hint'] for hint in hints), answer.error
    finally:
        s.guest = here
    assert s.state() == before


def other(s, qemu, kind, **options):
    """The QEMU that the guest comes to, which has been told of the same files."""
    way = s.folder / 'way'
    disks = [Disk(path, fmt) for path, fmt in s.paths]
    there = Machine(qemu, disks=disks, folder=s.folder / 'q', kind=kind,
                    args=['-incoming', f'unix:{way}'], **options)
    there.start()
    s.daemon.attach(there.qmp_path, id='there')
    return there, f'unix:{way}'


def move(s, there, way):
    """The guest goes there; from here on the scene is about that one."""
    s.vm.qmp.execute('migrate', {'uri': way})
    wait_run_state(s, 'there', 'running')
    wait_run_state(s, 'g', 'postmigrate')


def follow(s, there):
    """The scene goes on with the other one, which has opened the disks by their names."""
    s.vm.kill()
    s.vm, s.guest = there, 'there'
    s.renamed.clear()
    s.restarted = True
    s.vm.wait_for_writes(20)


def gone(s):
    return s.vm.qmp.execute('query-migrate').get('status') == 'completed'


@pairs('kind', ('blockdev',), ('drive',))
def test_a_guest_goes_to_another_qemu(qemu, kind, scene):
    with scene(qemu, kind=kind) as s:
        s.backup()
        there, way = other(s, qemu, kind)
        try:
            refused(s, 'there', 'inmigrate')
            move(s, there, way)
            refused(s, 'g', 'postmigrate', 'cont')
            follow(s, there)
            s.backup()
        except BaseException:
            there.kill()
            raise


@pairs('kind', ('drive',), ('blockdev',))
def test_a_guest_comes_back(qemu, kind, scene):
    """The other one is lost before it has begun: whoever knows that tells this one to go on."""
    with scene(qemu, kind=kind) as s:
        there, way = other(s, qemu, kind, paused=True)
        s.vm.qmp.execute('migrate', {'uri': way})
        wait_until(lambda: gone(s), 'it has gone', interval=0.02)
        wait_run_state(s, 'g', 'postmigrate')
        refused(s, 'g', 'postmigrate', 'cont')
        there.kill()
        s.daemon.delete('/v1/guests/there')
        s.vm.qmp.execute('cont')
        wait_run_state(s, 'g', 'running')
        s.backup()


@pairs('kind', ('drive',), ('blockdev',))
def test_a_guest_on_its_way_is_left_alone(qemu, kind, scene):
    with scene(qemu, kind=kind) as s:
        there, way = other(s, qemu, kind)
        try:
            s.vm.qmp.execute('migrate-set-parameters', {'max-bandwidth': 4096})
            s.vm.qmp.execute('migrate', {'uri': way})
            wait_until(lambda: s.vm.qmp.execute('query-migrate').get('status') == 'active',
                       'it is on its way', interval=0.02)
            refused(s, 'g', 'migrated', 'migration has ended')
            s.vm.qmp.execute('migrate_cancel')
            wait_until(lambda: s.vm.qmp.execute('query-migrate').get('status') == 'cancelled',
                       'it stays', interval=0.02)
            there.kill()
            s.backup()
        finally:
            there.kill()


# In the midst of an operation

def slow(folder, qemu):
    """A disk that takes long to be uploaded, and no room."""
    (folder / 'x').mkdir()
    create_raw(folder / 'x/base', '64G', qemu=qemu)
    return [create_qcow2(folder / 'x/disk', '64M', backing='base', backing_format='raw', qemu=qemu)]


@pairs('kind', ('blockdev',), ('drive',))
def test_a_guest_goes_while_a_layer_is_uploaded(qemu, kind, scene, tmp_path):
    with scene(qemu, slow(tmp_path, qemu), kind=kind) as s:
        operation = s.begin()
        s.wait_step(operation, 'upload')
        there, way = other(s, qemu, kind)
        try:
            move(s, there, way)
            assert s.daemon.delete(f"/v1/operations/{operation['id']}").status in (200, 202, 204)
            operation = s.daemon.finished(operation)
            assert operation['state'] == 'cancelled', operation
            assert s.vm.alive
            s.follow(operation)
            follow(s, there)
            s.backup(parents='ignore')
        except BaseException:
            there.kill()
            raise


@pairs('kind', ('blockdev',), ('drive',))
def test_a_guest_goes_before_its_overlay_is_folded_back(qemu, kind, scene, tmp_path):
    """The overlay is the other one's to write to: it stays, and the operation says so."""
    with scene(qemu, [create_qcow2(tmp_path / 'disk', '256M', qemu=qemu)], kind=kind) as s:
        s.as_guest('write 1M 200M')
        operation = s.daemon.post(f'/v1/guests/{s.guest}/images', {}).json
        reader, = wait_until(lambda: [pid for pid, name in children(s.daemon.pid).items()
                                      if name.startswith('qemu-storage')], 'the disk is read', interval=0.001)
        os.kill(reader, signal.SIGSTOP)
        there, way = other(s, qemu, kind)
        try:
            move(s, there, way)
            os.kill(reader, signal.SIGCONT)
            operation = s.daemon.finished(operation)
            assert operation['state'] == 'succeeded', operation
            disk, = operation['result']['disks']
            assert disk['folded'] is False and 'block-commit' in disk['kept'], disk
            assert s.vm.alive and not s.vm.qmp.execute('query-jobs')
            follow(s, there)
            s.images |= {image['id'] for image in operation['result']['images']}
        except BaseException:
            there.kill()
            raise


@pairs('kind', ('blockdev',), ('drive',), quick=[0])
def test_a_guest_goes_while_its_disk_is_committed(qemu, kind, chains, tmp_path):
    """Where it goes it has the disk open as it was: no name moves, and no file that it has is removed."""
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        s.point()
        s.write(FIRST, 24)
        s.point()
        operation, there = s.begin_to('disks', 'disk0', 'commit', speed=1 << 20, discard_points=True), None
        try:
            wait_until(lambda: any(job['current-progress'] > 1 << 20 for job in s.vm.qmp.execute('query-jobs')),
                       'it moves data', interval=0.01)
            there, way = other(s, qemu, kind)
            s.vm.qmp.execute('migrate-set-parameters', {'max-bandwidth': 4096})
            s.vm.qmp.execute('migrate', {'uri': way})
            wait_until(lambda: s.vm.qmp.execute('query-migrate').get('status') == 'active',
                       'it is on its way', interval=0.02)
            s.daemon.request('PATCH', f"/v1/operations/{operation['id']}", {'speed': 0})
            operation = s.daemon.finished(operation)
            s.vm.qmp.execute('migrate-set-parameters', {'max-bandwidth': 1 << 30})
            wait_run_state(s, 'there', 'running')
            s.points.clear()
            follow(s, there)
        except BaseException:
            if there:
                there.kill()
            raise


@pairs('kind', ('blockdev',), ('drive',), quick=())
def test_a_guest_goes_while_a_job_runs(qemu, kind, chains, tmp_path):
    """QEMU lets it go, and dies of the job's next write: nothing is written behind the other one's back."""
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        s.grow()
        s.point()
        s.write(FIRST, 24)
        s.point()
        operation, there = s.begin_to('disks', 'disk0', 'stream', speed=1 << 20), None
        try:
            wait_until(lambda: any(job['current-progress'] > 1 << 20 for job in s.vm.qmp.execute('query-jobs')),
                       'it moves data', interval=0.01)
            there, way = other(s, qemu, kind)
            s.vm.qmp.execute('migrate', {'uri': way})
            wait_run_state(s, 'there', 'running')
            operation = s.daemon.finished(operation)
            assert operation['state'] == 'failed', operation
            assert 'the chain is as it was' in operation['error']['message'], operation
            follow(s, there)
            s.guest = 'g'           # whose points they are
        except BaseException:
            if there:
                there.kill()
            raise
