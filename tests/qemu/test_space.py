# SPDX-License-Identifier: Apache-2.0
"""Disks that fill up: refused beforehand, waited for, told, and nothing is lost."""

import contextlib
import json
import os
import sqlite3

from support import create_qcow2
from support.chains import one_disk
from support.full import small_filesystem
from support.machine import wait_until
from support.scene import pairs

MIB = 1 << 20
RESERVE = {'daemon.reserve': '8MiB'}


@contextlib.contextmanager
def filled(folder, left=0, scene=None):
    """While the block runs, a filesystem has no more than `left` bytes of room."""
    filler = folder / 'filler'
    facts = os.statvfs(folder)
    with open(filler, 'wb') as file:
        os.posix_fallocate(file.fileno(), 0, max(facts.f_bavail * facts.f_frsize - left, 1))
    if scene:
        scene.aside.add(filler)
    try:
        yield
    finally:
        filler.unlink()
        if scene:
            scene.aside.discard(filler)


def small_disk(folder, qemu, size='64M'):
    return [create_qcow2(folder / 'disk', size, qemu=qemu)]


def told(s):
    """The guest as the daemon tells of it."""
    return s.daemon.get(s.path()).json


def shown(s, operation):
    return s.daemon.get(f"/v1/operations/{operation['id']}").json


def gains(s, upper, lower):
    """Two points, the upper one of which holds what the lower one held before it: folding them
    takes no room, and gives some back."""
    kept = []
    for name in (lower, upper):
        s.write(at=8, size=12)
        kept.append(s.point(name))
    return kept


# Before anything begins

@pairs('kind', ('blockdev',), ('drive',), quick=[0])
def test_refused_beforehand(qemu, kind, chains, tmp_path):
    """Less than what is needed and the reserve: 507, and nothing has changed."""
    with small_filesystem(tmp_path / 'a', '64m') as folder, \
            chains(qemu, small_disk(folder, qemu), kind=kind, daemon=RESERVE) as s:
        first, second = gains(s, 'upper', 'lower')
        s.grow()
        disk = ('disks', 'disk0')
        with filled(folder, 7 * MIB, s):
            error = s.refused(507, 'no-space', str(folder), '7 MiB left', '8 MiB are to stay free',
                              name='no room', image='none')
            assert 'reserve' in error['hint']
            s.refuses(507, 'no-space', str(folder), words=(*disk, 'stream'))
            s.refuses(507, 'no-space', str(folder), words=(*disk, 'mirror'),
                      target={'path': f'{folder}/copy'})
            s.refuses(507, 'no-space', str(folder), words=('snapshots', first.id, 'revert'))
            s.refuses(507, 'no-space', str(folder), words=(*disk, 'mirror'), dry_run=True,
                      target={'path': f'{folder}/copy'})
            # What makes room may use the reserve.
            s.delete(first)
        answer = s.ask_for(*disk, 'mirror', dry_run=True, target={'path': f'{folder}/copy'})
        assert answer.status == 200, answer.body
        room, = (each for each in answer.json['room'] if each['folder'] == str(folder))
        assert room['reserve'] == 8 * MIB and room['left'] > room['need'] > MIB, room
        s.point('after')
        s.delete(second)


@pairs('kind, reserve', ('drive', '64KiB'), ('blockdev', '0'))
def test_no_room_in_the_store(qemu, kind, reserve, chains, tmp_path):
    """Beforehand with a reserve; without one the upload fails: no image is left, but the point."""
    with small_filesystem(tmp_path / 'd/images', '2m') as store, \
            chains(qemu, one_disk(tmp_path, qemu), kind=kind,
                   daemon={'daemon.reserve': reserve}) as s:
        s.write(at=8, size=8)
        if reserve != '0':
            s.refused(507, 'no-space', str(store), name='too much')
        else:
            operation = s.daemon.finished(s.begin(name='too much'))
            assert operation['state'] == 'failed', operation
            assert operation['error']['code'] == 'no-space', operation['error']
            assert not os.listdir(store)
            s.follow(operation)
            s.keep_new()


# While it runs

def paused_job(s):
    jobs = s.vm.qmp.execute('query-block-jobs')
    return [job for job in jobs if job['paused']]


def kept_plan(s, operation):
    with contextlib.closing(sqlite3.connect(s.daemon.folder / 'state/journal.sqlite')) as journal:
        plan, = journal.execute('SELECT plan FROM operations WHERE id = ?',
                                (operation['id'],)).fetchone()
    return json.loads(plan)


@pairs('outcome, verb', ('goes on', 'stream'), ('is cancelled', 'mirror'),
       ('is cancelled', 'stream'), ('goes on', 'mirror'), quick=[0, 1])
def test_waits_for_room(qemu, outcome, verb, chains, tmp_path):
    """The reserve is reached: the job waits, and goes on when there is room, or is given up."""
    patience = '1s' if outcome == 'is cancelled' else '5min'
    # More than is copied between two looks.
    settings = {'daemon.reserve': '40MiB', 'daemon.wait-for-room': patience}
    with small_filesystem(tmp_path / 'a', '256m') as folder, \
            chains(qemu, small_disk(folder, qemu), kind='blockdev', daemon=settings) as s:
        s.write(at=8, size=48)
        s.point('below')
        s.grow()
        files = s.layers()
        members = {'speed': MIB}
        if verb == 'mirror':
            members['target'] = {'path': f'{folder}/copy'}
        operation = s.begin_to('disks', 'disk0', verb, **members)
        with filled(folder, 32 * MIB, s):
            wait_until(lambda: paused_job(s) or shown(s, operation)['state'] == 'cancelled',
                       'the job waits', interval=0.05)
            if outcome == 'goes on':
                now = shown(s, operation)
                assert (now['state'], now['paused']) == ('running', True), now
                assert now['waiting']['code'] == 'no-space', now
                assert str(folder) in now['waiting']['message'], now
            # A mirror copies 16 MiB at once.
            if (outcome, verb) == ('goes on', 'stream'):
                s.daemon.request('PATCH', f"/v1/operations/{operation['id']}", {'paused': False})
                wait_until(lambda: paused_job(s), 'it waits again', interval=0.05)
            if outcome == 'is cancelled':
                operation = s.daemon.finished(operation)
        if outcome == 'goes on':
            wait_until(lambda: not shown(s, operation).get('paused'), 'it goes on', interval=0.05)
            wait_until(lambda: 'waiting' not in kept_plan(s, operation),
                       'the journal has it that it waits no more', interval=0.05)
            s.daemon.request('PATCH', f"/v1/operations/{operation['id']}", {'speed': 0})
            operation = s.daemon.finished(operation)
            assert operation['state'] == 'succeeded' and 'waiting' not in operation, operation
            if verb == 'mirror':
                s.aside.add(f'{folder}/copy')
        else:
            assert operation['state'] == 'cancelled', operation
            assert 'waited for long enough' in operation['waiting']['message'], operation
            assert s.layers() == files
        s.judge()
        s.point('after')


# A guest that stands

@contextlib.contextmanager
def standing(s, folder):
    """The guest has been stopped: there is no room for what it writes to its new overlay."""
    s.vm.qmp.execute('stop')
    assert s.daemon.post(s.path('resume')).status == 409, 'its owner has stopped it'
    s.still = True
    s.point('before')
    with filled(folder, scene=s):
        s.vm.qmp.execute('cont')
        alarm, = wait_until(lambda: told(s)['alarms'], 'the alarm', interval=0.02)
        assert alarm['kind'] == 'no-space' and alarm['disk'] in ('disk0', 'drive0'), alarm
        assert os.path.dirname(alarm['path']) == str(folder) and alarm['hint']
        assert told(s)['run_state'] == 'io-error'
        assert 'no room' in s.daemon.qsnap('guests', check=True).stdout
        assert 'no-space' in s.daemon.qsnap('show', s.guest, check=True).stdout
        assert 'QEMU has stopped the guest' in s.daemon.log
        answer = s.daemon.post(s.path('resume'))
        assert (answer.status, answer.error['code']) == (507, 'no-space'), answer.body
        assert str(folder) in answer.error['message']
        assert s.status() == 'io-error'
        yield


def runs_on(s):
    done = s.daemon.qsnap('cont', s.guest, check=True)
    assert 'running' in done.stdout, done.stdout
    s.still = False
    s.vm.wait_for_writes(20)
    wait_until(lambda: not told(s)['alarms'], 'the alarm ends', interval=0.02)
    answer = s.daemon.post(s.path('resume'))
    assert (answer.status, answer.error['code']) == (409, 'conflict'), answer.body
    s.judge()
    s.point('later')


@pairs('kind, interface', ('drive', 'virtio'), ('blockdev', 'scsi'), ('drive', 'scsi'),
       ('blockdev', 'virtio'), quick=[0, 1])
def test_the_guest_stands_until_there_is_room(qemu, kind, interface, chains, tmp_path):
    with small_filesystem(tmp_path / 'a', '64m') as folder, \
            chains(qemu, small_disk(folder, qemu), kind=kind, interface=interface) as s:
        with standing(s, folder):
            # Who comes anew finds it, too.
            s.daemon.stop()
            s.daemon.start()
            wait_until(lambda: told(s)['alarms'], 'the alarm', interval=0.02)
        runs_on(s)


@pairs('kind', ('blockdev',), ('drive',), quick=[0])
def test_room_is_made_while_the_guest_stands(qemu, kind, chains, tmp_path):
    """Points are deleted from its chain until it can go on."""
    with small_filesystem(tmp_path / 'a', '64m') as folder, \
            chains(qemu, small_disk(folder, qemu), kind=kind, daemon=RESERVE) as s:
        first, second = gains(s, 'upper', 'lower')
        with standing(s, folder):
            # Too little for the guest, enough for what the lower layer does not hold yet.
            filler = folder / 'filler'
            os.truncate(filler, filler.stat().st_size - 2 * MIB)
            assert s.daemon.post(s.path('resume')).status == 507
            s.delete(first)
            runs_on(s)
        s.delete(second)


# Real ends of disks

@pairs('kind', ('drive',), ('blockdev',), quick=[1])
def test_no_room_for_the_overlay(qemu, kind, chains, tmp_path):
    with small_filesystem(tmp_path / 'a', '64m') as folder, \
            chains(qemu, small_disk(folder, qemu), kind=kind) as s:
        with filled(folder, scene=s):
            before = s.layers()
            operation = s.daemon.finished(s.begin(name='no room', image='none'))
            assert operation['state'] == 'failed', operation
            assert operation['error']['code'] == 'no-space', operation['error']
            assert s.layers() == before
        if s.status() == 'io-error':    # it wrote to a new cluster meanwhile
            wait_until(lambda: told(s)['alarms'], 'the alarm', interval=0.02)
            runs_on(s)
        s.judge()
        s.point('after')


def fails(s, *words, **members):
    """An operation that must fail for want of room, with the chain as it was."""
    before = s.layers()
    operation = s.daemon.finished(s.begin_to(*words, **members))
    assert operation['state'] == 'failed', operation
    assert operation['error']['code'] == 'no-space', operation['error']
    assert s.layers() == before


@pairs('kind', ('blockdev',), ('drive',), quick=[0])
def test_no_room_to_go_back(qemu, kind, chains, tmp_path):
    """Neither for the overlay of a revert, nor for the image that is restored."""
    with small_filesystem(tmp_path / 'a', '96m') as folder, \
            chains(qemu, small_disk(folder, qemu), kind=kind) as s:
        s.write(at=8, size=16)
        first = s.point('first')
        operation = s.work('images', name='whole')
        image, = (each['id'] for each in operation['result']['images'])
        s.images.add(image)
        s.vm.qmp.execute('stop')
        s.still = True
        with filled(folder, scene=s):
            fails(s, 'snapshots', first.id, 'revert')
            s.judge()
        with filled(folder, 8 * MIB, s):
            fails(s, 'restore', image=image)
            s.judge()
        s.vm.qmp.execute('cont')
        s.still = False
        s.revert(first)


@pairs('kind', ('blockdev',), ('drive',), quick=[0])
def test_no_room_for_the_journal(qemu, kind, chains, tmp_path):
    """What is asked for is refused; what runs is called off, and ends when there is room again."""
    with small_filesystem(tmp_path / 'd/state', '8m') as state, \
            chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        s.write(at=4, size=32)
        first = s.point('first')
        s.grow()
        with filled(state):
            s.refused(507, 'no-space', 'journal', name='no room', image='none')
        copy = tmp_path / 'a/copy'
        operation = s.begin_to('disks', 'disk0', 'mirror', speed=1, target={'path': str(copy)})
        job = wait_until(lambda: s.vm.qmp.execute('query-block-jobs'), 'the job runs')[0]['device']
        with filled(state):
            s.vm.qmp.execute('block-job-set-speed', device=job, speed=0)
            now = wait_until(lambda: shown(s, operation)['error'], 'it says what is in the way',
                             interval=0.05)
            assert now['code'] == 'no-space' and 'journal' in now['message'], now
            assert shown(s, operation)['state'] == 'running'
        operation = s.daemon.finished(operation)
        assert operation['state'] == 'failed', operation
        assert not copy.exists()
        s.judge()
        s.point('after')
        s.delete(first)
