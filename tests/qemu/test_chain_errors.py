# SPDX-License-Identifier: Apache-2.0
"""Storage fails under a job: that waits and goes on when told to, or the chain is as it was."""

import contextlib
import errno
import os

from support import Disk, create_qcow2
from support.chains import MIB, one_disk
from support.full import qemu_io, small_filesystem
from support.images import sector_of
from support.machine import wait_until
from support.scene import pairs

READ, WRITTEN = 40, 20      # in MiB: what the base alone holds, and what a commit writes into it
WORDS = {errno.EIO: ('guest', 'Input/output error'), errno.ENOSPC: ('no-space', 'No space left')}


def failing(folder, qemu, number):
    """A disk on a base that fails once when it is read from, and once when it is written to."""
    (folder / 'a').mkdir(exist_ok=True)
    base = create_qcow2(folder / 'a/base', '64M', options='preallocation=metadata', qemu=qemu)
    qemu_io(f'write -P 7 {READ}M 1M', base, qemu)
    rules = [{'event': 'none', 'iotype': kind, 'sector': sector_of(base, at * MIB, qemu),
              'errno': number, 'once': True} for kind, at in (('read', READ), ('write', WRITTEN))]
    disk = create_qcow2(folder / 'a/disk', backing='base', qemu=qemu)
    return Disk(disk, backing=Disk(base, below={'driver': 'blkdebug', 'inject-error': rules}))


@contextlib.contextmanager
def begun(verb, on_error, number, qemu, kind, chains, folder):
    """base <- 1 (a point) <- active: the scene, how to ask for it, and the points it may lose."""
    with chains(qemu, [failing(folder, qemu, number)], kind=kind) as s:
        s.models[0][READ] = 7
        s.write(WRITTEN)
        kept = s.point()
        s.grow()
        asked, gone = {
            'commit': (dict(top=kept.name, base='base'), []),
            'commit of the active': (dict(base='base', discard_points=True), [kept]),
            'stream': ({}, []),
            'mirror': (dict(target={'path': f'{folder}/copy'}), []),
            'move': (dict(target={'path': f'{folder}/a/moved'}, end='pivot'), []),
        }[verb]
        verb = {'move': 'mirror'}.get(verb, verb.split()[0])
        yield s, ('disks', 'disk0', verb), {'on_error': on_error, **asked}, gone


def waits(operation):
    """What an operation says that its job waits for."""
    told = operation['result'].get('moves', []) + operation['result'].get('disks', [])
    return next((each['waits'] for each in told if 'waits' in each), None)


def wait_until_it_waits(s, operation):
    """The job stands, the operation says so, and the guest writes on."""
    wait_until(lambda: [job for job in s.vm.qmp.execute('query-block-jobs')
                        if job['io-status'] != 'ok'], 'the job stands')

    def told():
        now = s.daemon.get(f"/v1/operations/{operation['id']}").json
        assert now['state'] == 'running', now
        return waits(now)
    assert 'resume' in wait_until(told, 'the operation says what it waits for')
    s.vm.wait_for_writes(50)
    assert s.status() == 'running'


def resume(s, operation, by='PATCH'):
    """As a script does, or a person."""
    if by == 'qsnap':
        s.daemon.qsnap('resume', operation['id'], check=True)
        return
    answer = s.daemon.request('PATCH', f"/v1/operations/{operation['id']}", {'paused': False})
    assert answer.status in (200, 202), answer.body


def succeeded(s, operation, gone=()):
    """It has gone on, and has come to the right end."""
    operation = s.daemon.finished(operation)
    assert operation['state'] == 'succeeded', operation
    assert not waits(operation), operation['result']
    s.aside |= {disk['left'] for disk in operation['result'].get('disks', ()) if 'left' in disk}
    s.forget(gone)
    s.judge()


@pairs('verb, on_error, number, kind, by',
       ('commit', 'stop', errno.EIO, 'blockdev', 'PATCH'),
       ('stream', 'enospc', errno.ENOSPC, 'drive', 'PATCH'),
       ('mirror', 'stop', errno.EIO, 'blockdev', 'qsnap'),
       ('commit of the active', 'enospc', errno.ENOSPC, 'drive', 'PATCH'),
       ('move', 'enospc', errno.ENOSPC, 'drive', 'PATCH'),
       ('commit', 'enospc', errno.ENOSPC, 'drive', 'qsnap'),
       ('stream', 'stop', errno.EIO, 'blockdev', 'PATCH'),
       ('mirror', 'enospc', errno.ENOSPC, 'drive', 'PATCH'),
       ('commit of the active', 'stop', errno.EIO, 'blockdev', 'qsnap'),
       ('move', 'stop', errno.EIO, 'blockdev', 'PATCH'), quick=[0, 1, 3])
def test_it_waits_and_goes_on(qemu, verb, on_error, number, kind, by, chains, tmp_path):
    with begun(verb, on_error, number, qemu, kind, chains, tmp_path) as (s, words, asked, gone):
        operation = s.begin_to(*words, **asked)
        wait_until_it_waits(s, operation)
        resume(s, operation, by)
        succeeded(s, operation, gone)


@pairs('verb, on_error, number, kind',
       ('stream', 'report', errno.EIO, 'blockdev'), ('commit', 'report', errno.ENOSPC, 'drive'),
       ('commit of the active', 'enospc', errno.EIO, 'blockdev'),
       ('move', 'report', errno.EIO, 'drive'), ('mirror', 'report', errno.ENOSPC, 'drive'),
       ('commit', 'enospc', errno.EIO, 'blockdev'), ('stream', 'enospc', errno.EIO, 'drive'),
       ('commit of the active', 'report', errno.ENOSPC, 'blockdev'),
       ('mirror', 'enospc', errno.EIO, 'blockdev'), ('move', 'report', errno.ENOSPC, 'blockdev'),
       quick=[0, 3])
def test_it_is_reported(qemu, verb, on_error, number, kind, chains, tmp_path):
    """The operation fails with QEMU's words, the chain is as it was, and next time it is done."""
    with begun(verb, on_error, number, qemu, kind, chains, tmp_path) as (s, words, asked, gone):
        files = s.layers()
        operation = s.daemon.finished(s.begin_to(*words, **asked))
        assert operation['state'] == 'failed', operation
        code, said = WORDS[number]
        assert operation['error']['code'] == code, operation['error']
        assert said in operation['error']['message'], operation['error']
        assert [os.stat(path).st_ino for path in s.layers()] == \
            [os.stat(path).st_ino for path in files]
        s.aside |= s.name_for_life()
        assert not os.path.exists(asked.get('target', {}).get('path', tmp_path / 'nothing'))
        s.forget(gone)
        s.judge()
        s.aside.clear()
        succeeded(s, s.begin_to(*words, **asked))


@pairs('on_error, end, kind', ('stop', 'keep', 'drive'), ('enospc', 'pivot', 'blockdev'),
       ('report', 'pivot', 'drive'), ('report', 'keep', 'blockdev'), quick=[1])
def test_no_room_for_the_copy(qemu, on_error, end, kind, chains, tmp_path):
    with small_filesystem(tmp_path / 'small', '24m') as folder, \
            chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        s.write(8, 12)
        room = folder / 'filler'
        room.write_bytes(bytes(16 * MIB))
        target = f'{folder}/copy'
        asked = {'target': {'path': target}, 'on_error': on_error, 'end': end,
                 'allow_path_change': True}
        operation = s.begin_to('disks', 'disk0', 'mirror', **asked)
        if on_error == 'report':
            operation = s.daemon.finished(operation)
            assert operation['state'] == 'failed', operation
            assert operation['error']['code'] == 'no-space', operation['error']
            assert os.listdir(folder) == ['filler']
            s.aside |= s.name_for_life()
            return
        wait_until_it_waits(s, operation)
        room.unlink()
        resume(s, operation)
        if end == 'pivot':
            assert s.daemon.finished(operation)['state'] == 'succeeded'
            s.paths[0] = (target, 'qcow2')
            s.vm.disks[0].path = target
            s.renamed.clear()
            s._known_files.clear()
        succeeded(s, operation)


@pairs('on_error, kind', ('enospc', 'blockdev'), ('stop', 'drive'), ('report', 'drive'),
       quick=[])
def test_no_room_for_a_stream(qemu, on_error, kind, chains, tmp_path):
    """The guest needs no more room than it has, so it is not the one that waits."""
    base = create_qcow2(tmp_path / 'base', '64M', qemu=qemu)
    qemu_io('write -P 7 40M 12M', base, qemu)
    with small_filesystem(tmp_path / 'a', '24m') as folder:
        disk = create_qcow2(folder / 'disk', backing=str(base), qemu=qemu)
        with chains(qemu, [disk], kind=kind) as s:
            s.models[0].update(dict.fromkeys(range(40, 52), 7))
            s.vm.wait_for_writes(1100, timeout=60)
            room = folder / 'filler'
            room.write_bytes(bytes(16 * MIB))
            s.aside.add(room)
            operation = s.begin_to('disks', 'disk0', 'stream', on_error=on_error)
            if on_error == 'report':
                operation = s.daemon.finished(operation)
                assert operation['state'] == 'failed', operation
                assert operation['error']['code'] == 'no-space', operation['error']
                s.judge()
                return
            wait_until_it_waits(s, operation)
            room.unlink()
            s.aside.clear()
            resume(s, operation)
            succeeded(s, operation)
            assert len(s.layers()) == 1
