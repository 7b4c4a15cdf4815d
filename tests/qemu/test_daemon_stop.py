# SPDX-License-Identifier: Apache-2.0
"""The daemon is told to stop while a job runs in QEMU, and is started again.

The job runs on meanwhile, or comes to where it waits; the guest writes; and the daemon that comes
back goes on with that job. It is neither cancelled nor begun anew.
"""

import time

import pytest

from support.chains import FIRST, one_disk
from support.machine import wait_until
from support.scene import pairs

SPEED = 1 << 20         # bytes a second, for some jobs once the first 16 MiB have gone by
SIZE = 28               # MiB in each layer that others do not have: whatever is done, so much is moved


def name(path):
    return path.rsplit('/', 1)[1]


def jobs(s):
    return {job['id']: job for job in s.vm.qmp.execute('query-jobs')}


def created(s, job):
    """How often a job was made."""
    s.vm.qmp.execute('query-jobs')      # whatever was told before has been read then
    return sum(event['event'] == 'JOB_STATUS_CHANGE' and event['data'] == {'id': job, 'status': 'created'}
               for event in s.vm.qmp.events)


def stop(s):
    """As `systemctl stop` does; the guest is not left standing."""
    begun = time.monotonic()
    s.daemon.stop(timeout=30)
    assert time.monotonic() - begun < 5, 'it took long to stop'
    assert s.status() == 'running'
    s.vm.wait_for_writes(10)


def come_back(s, operation):
    """The daemon takes it up; the operation when it is over."""
    s.daemon.start()
    s.wait_attached()
    now = s.daemon.get(f"/v1/operations/{operation['id']}").json
    if now['state'] == 'running' and now['kind'] in ('commit', 'stream', 'mirror', 'delete'):
        s.daemon.request('PATCH', f"/v1/operations/{operation['id']}", {'speed': 0})
    return s.daemon.finished(operation)


class Chain:
    """Three layers, the upper ones with much data, and what can be done with them."""

    def __init__(self, s):
        self.s = s
        s.grow()
        self.first = s.point('first')
        s.write(FIRST, SIZE)
        s.grow()
        self.second = s.point('second')
        s.write(FIRST + SIZE, SIZE)
        s.grow()

    def commit(self):
        files = self.s.layers()
        return self.s.begin_to('disks', 'disk0', 'commit', top=name(files[1]), base=name(files[0]),
                               discard_points=True, speed=SPEED), [self.first]

    def active(self):
        return self.s.begin_to('disks', 'disk0', 'commit', base=name(self.s.layers()[-2]),
                               discard_points=True, speed=SPEED), [self.second]

    def stream(self):
        return self.s.begin_to('disks', 'disk0', 'stream', base=name(self.s.layers()[0]),
                               speed=SPEED), []

    def copy(self):
        (self.s.folder / 'copies').mkdir()
        return self.s.begin_to('disks', 'disk0', 'mirror', end='keep', speed=SPEED,
                               target={'path': str(self.s.folder / 'copies/copy')}), []

    def move(self):
        return self.s.begin_to('disks', 'disk0', 'mirror', end='pivot', speed=SPEED,
                               target={'path': self.s.paths[0][0] + '-moved'}), []

    def delete(self):
        return self.s.begin_to('snapshots', self.second.id, method='DELETE', speed=SPEED), [self.second]

    def judge(self, operation, gone):
        s = self.s
        assert operation['state'] == 'succeeded' and operation['error'] is None, operation
        s.aside |= {disk['left'] for disk in operation['result'].get('disks', ()) if 'left' in disk}
        listed = {point['id'] for point in s.listed()}
        s.forget([kept for kept in gone if kept.id not in listed])
        s.judge()


def begin(s, kind):
    """Begins it and waits until its job moves data: (chain, operation, points that may go, job)."""
    chain = Chain(s)
    operation, gone = getattr(chain, kind)()

    def moving():
        found = [job for job in jobs(s).values() if job['id'].startswith('qsnap-')
                 and job['status'] == 'running' and job['current-progress'] >= 1 << 20]
        return found[0]['id'] if found else None
    return chain, operation, gone, wait_until(moving, 'a job of ours moves data', interval=0.01)


KINDS = ('commit', 'active', 'stream', 'copy', 'move', 'delete')


@pairs('kind', *((kind,) for kind in KINDS), quick=(0, 3))
def test_a_job_runs_on(qemu, kind, chains, tmp_path):
    with chains(qemu, one_disk(tmp_path, qemu)) as s:
        chain, operation, gone, job = begin(s, kind)
        stop(s)
        before = jobs(s)[job]['current-progress']
        wait_until(lambda: jobs(s)[job]['current-progress'] > before, 'the job goes on alone', 20)
        operation = come_back(s, operation)
        assert created(s, job) == 1, 'the job was begun anew'
        chain.judge(operation, gone)


@pairs('kind', *((kind,) for kind in reversed(KINDS)), quick=(4, 5))
def test_a_job_comes_to_its_end(qemu, kind, chains, tmp_path):
    with chains(qemu, one_disk(tmp_path, qemu)) as s:
        chain, operation, gone, job = begin(s, kind)
        stop(s)
        s.vm.qmp.execute('block-job-set-speed', {'device': job, 'speed': 0})
        wait_until(lambda: jobs(s)[job]['status'] in ('ready', 'pending'), 'the job waits for us', 60)
        s.vm.wait_for_writes(10)
        begun = time.monotonic()
        operation = come_back(s, operation)
        assert time.monotonic() - begun < 10
        assert created(s, job) == 1, 'the job was begun anew'
        chain.judge(operation, gone)


@pairs('kind', ('image',), ('delete',), ('delete',), ('image',), quick=(0,))
def test_word_of_a_job_is_lost(qemu, kind, chains, tmp_path):
    """It waits for us, we have not heard it, and are told to stop."""
    with chains(qemu, one_disk(tmp_path, qemu)) as s:
        chain = Chain(s)
        gone = [chain.first] if kind == 'delete' else []
        trap = s.trapped()
        try:
            trap.arm(['JOB_STATUS_CHANGE', '"pending"' if gone else '"ready"'], [])
            operation = s.begin_to(*(('snapshots', chain.first.id) if gone else ('images',)),
                                   method='DELETE' if gone else 'POST')
            assert trap.snapped()
            stop(s)
            job, = [job for job in jobs(s) if job.startswith('qsnap-')]
            assert jobs(s)[job]['status'] in ('ready', 'pending')
            begun = time.monotonic()
            operation = come_back(s, operation)
            assert time.monotonic() - begun < 10
            assert created(s, job) == 1, 'the job was begun anew'
            s.images |= {image['id'] for image in operation['result'].get('images', ())}
            chain.judge(operation, gone)
        finally:
            trap.stop()


@pytest.mark.slow
@pairs('moment', *((moment / 10,) for moment in range(8)))
def test_a_revert(qemu, moment, chains, tmp_path):
    """The guest stands still for a moment of it: the daemon does not leave it so."""
    with chains(qemu, one_disk(tmp_path, qemu)) as s:
        chain = Chain(s)
        mark, models = s.vm.mark(), [dict(model) for model in s.models]
        s.vm.wait_for_writes(20)
        operation = s.begin_to('snapshots', chain.first.id, 'revert')
        time.sleep(moment / 4)
        s.daemon.stop(timeout=30)
        assert s.status() == 'running'
        operation = come_back(s, operation)
        if operation['state'] == 'succeeded':
            s.keep_new(models=models)
            s.at(chain.first, mark)
        else:
            assert 'no disk was moved' in operation['error']['message'], operation
