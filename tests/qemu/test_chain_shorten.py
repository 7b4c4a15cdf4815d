# SPDX-License-Identifier: Apache-2.0
"""Chains are kept short, by themselves or when asked: images go on being incremental."""

import os
import shutil
import time

import pytest

from support.chains import one_disk
from support.machine import wait_until
from support.oracles import compare
from support.scene import pairs


def settle(s, most):
    """Waits until no chain is longer and nothing runs; the points that have gone meanwhile."""
    def over():
        found = s.operations()
        return all(len(s.disk(f'disk{index}')['layers']) <= most for index in range(len(s.paths))) \
            and all(each['state'] not in ('queued', 'running') for each in found)
    wait_until(over, f'the chains have at most {most} layers', 60, interval=0.05)
    return forget_unlisted(s)


def forget_unlisted(s):
    listed = {point['id'] for point in s.listed()}
    gone = [kept for kept in s.points.values() if kept.id not in listed]
    s.forget(gone)
    return gone


def follow(s, operation):
    s.follow(operation)
    s.images |= {image['id'] for image in operation['result']['images']}


def backup(s, most, **members):
    """A point that is uploaded, and what follows by itself; the point and its operation.

    What the point shows is what its images hold: they were made before anything was folded.
    """
    s.grow()
    operation = s.daemon.snapshot(s.guest, **members)
    assert operation['state'] == 'succeeded', operation
    follow(s, operation)
    gone = settle(s, most)
    kept = s.keep(operation['result']['point'])
    for disk in s.told(kept)['disks']:
        restored = s.restore(disk['image_id'], s.folder / 'restored')
        compare(restored, (kept.copies[s.index_of(disk)], 'raw'), s.qemu)
    s.judge()
    return kept, operation, gone


@pairs('kind, interface, iothread', ('drive', 'virtio', False), ('blockdev', 'scsi', True),
       ('blockdev', 'virtio', False), ('drive', 'scsi', True), quick=[0, 1])
def test_by_itself_after_each_upload(qemu, kind, interface, iothread, chains):
    """base <- 1 <- 2 <- active becomes base <- 1+2 <- active; the next image has 2's as its parent."""
    with chains(qemu, kind=kind, interface=interface, iothread=iothread,
                daemon={'daemon.max-chain-length': 3}) as s:
        parents = {}
        for number in range(5):
            kept, operation, gone = backup(s, 3, name=f'point {number}')
            assert len(gone) == (number >= 2)
            assert len(operation['result']['images']) == 2, 'something was uploaded again'
            for disk in s.told(kept)['disks']:
                properties = s.image(disk['image_id'])['properties']
                assert properties.get('qsnapd_parent') == parents.get(disk['disk'])
                parents[disk['disk']] = disk['image_id']
        assert len(s.images) == 10


@pairs('kind', ('blockdev',), ('drive',), quick=[0])
def test_when_asked(qemu, kind, chains, tmp_path):
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        pinned, *_ = backup(s, 9, name='pinned', keep=True)
        rest = [backup(s, 9, name=str(number))[0] for number in range(3)]
        s.grow()
        answer = s.ask_for('shorten', max_chain_length=3, dry_run=True)
        assert answer.status == 200, answer.body
        operation = s.work('shorten', max_chain_length=3)
        forget_unlisted(s)
        assert s.points.keys() == {pinned.id, rest[-1].id}
        assert len(s.layers()) == 3
        s.judge()
        assert operation['result']['bytes'] == answer.json['bytes']
        s.refuses(400, 'invalid', 'max_chain_length', words=('shorten',), max_chain_length=-1)


@pairs('kind', ('drive',), ('blockdev',), quick=[1])
def test_points_without_an_image_stay(qemu, kind, chains, tmp_path):
    """A chain that cannot be as short as it should keeps its points, and says why."""
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        s.deepen(5)
        operation = s.work('shorten', max_chain_length=3)
        assert len(s.layers()) == 5
        assert operation['result'].get('shorter'), operation['result']
        s.judge()


@pairs('kind', ('blockdev',), ('drive',), quick=[0])
def test_of_the_request_alone(qemu, kind, chains, tmp_path):
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        images = [backup(s, 9, name=str(number))[1]['result']['disks'][0]['image_id'] for number in range(3)]
        assert len(s.layers()) == 4
        _, operation, gone = backup(s, 3, name='and fold', max_chain_length=3)
        assert [kept.name for kept in gone] == ['1', '2'] and len(s.layers()) == 3
        # Before it came to that it was said, and afterwards where they are.
        assert operation['result']['may_be_folded'] == ['0', '1', '2']
        s.refuses(404, 'not-found', 'folded away', images[2], words=('snapshots', '2', 'revert'))
        s.refuses(404, 'not-found', 'folded away', images[1], words=('snapshots', gone[0].id), method='DELETE')
        assert 'folds points of guest' in s.daemon.log


@pairs('kind', ('drive',), ('blockdev',), quick=[1])
def test_a_daemon_that_dies_makes_up_for_it(qemu, kind, chains, tmp_path):
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind,
                daemon={'daemon.max-chain-length': 3}) as s:
        for number in range(2):
            backup(s, 3, name=str(number))
        s.grow()
        operation = s.begin(name='the last')
        path = f"/v1/operations/{operation['id']}"
        wait_until(lambda: s.daemon.get(path).json['step'] in ('upload', None), 'it comes to upload',
                   interval=0.005)
        s.daemon.kill()
        s.daemon.start()
        s.wait_attached()
        operation = s.daemon.finished(operation)
        follow(s, operation)
        settle(s, 3)
        s.keep(operation['result']['point'])
        s.judge()


@pytest.mark.slow
@pairs('kind', ('drive',), ('blockdev',))
def test_a_long_life(qemu, kind, chains):
    with chains(qemu, kind=kind, daemon={'daemon.max-chain-length': 3}) as s:
        for number in range(20):
            backup(s, 3, name=str(number))


def folding(s, timeout=30):
    """Waits until a fold is under way by itself, and holds it up; None when it was too fast."""
    found = []

    def there():
        found[:] = [each for each in s.operations()
                    if each['kind'] == 'shorten' and each['state'] == 'running']
        return found
    wait_until(there, 'a fold has begun by itself', timeout, interval=0.002)
    held = s.daemon.request('PATCH', f"/v1/operations/{found[0]['id']}", {'paused': True})
    return found[0]['id'] if held.status < 300 else None


def fill(s):
    """Data that takes a while to be folded."""
    s.grow()
    for index in range(len(s.paths)):
        s.write(100 + 96 * (len(s.points) % 4), 96, index)


def uploaded(s, operation):
    operation = s.daemon.finished(operation)
    assert operation['state'] == 'succeeded', operation
    follow(s, operation)
    return operation


def gave_way(s):
    return [each for each in s.operations() if each['result'].get('gave_way_to')]


@pairs('kind', ('blockdev',), ('drive',), quick=[0])
def test_it_gives_way(qemu, kind, chains, tmp_path):
    """Whatever is asked for while layers are folded by themselves goes first; then it goes on."""
    with chains(qemu, one_disk(tmp_path, qemu, '1G'), kind=kind,
                daemon={'daemon.max-chain-length': 3}) as s:
        pinned = s.keep(backup(s, 3, name='pinned', keep=True)[0].id)
        backup(s, 3, name='0')
        taken, held = [], []
        for number in range(1, 4):
            fill(s)
            operation = uploaded(s, s.begin(name=str(number)))      # 202, each time
            assert len(operation['result']['images']) == 1, 'something was uploaded again'
            taken.append(operation['result']['point'])
            held.append(folding(s))
        assert gave_way(s), 'each fold was over before it could be wanted'
        for each in gave_way(s):
            assert each['state'] == 'cancelled' and each['result']['gave_way_to'] in {
                other['id'] for other in s.operations()}
        # One that is refused in the end has called it off, too.
        s.daemon.request('PATCH', f'/v1/operations/{held[-1]}', {'speed': 1 << 20})
        answer = s.ask_for('disks', 'disk0', 'commit', top=s.layers()[0], base=s.layers()[1])
        assert (answer.status, answer.error['code']) == (409, 'conflict'), answer.body
        settle(s, 3)
        assert {point['id'] for point in s.listed()} == {pinned.id, taken[-1]}
        kept = s.keep(taken[-1])
        disk, = s.told(kept)['disks']
        compare(s.restore(disk['image_id'], s.folder / 'restored'), (kept.copies[0], 'raw'), s.qemu)
        s.judge()


@pairs('kind', ('drive',), ('blockdev',), quick=[0])
def test_what_was_asked_for_does_not(qemu, kind, chains, tmp_path):
    with chains(qemu, one_disk(tmp_path, qemu, '1G'), kind=kind) as s:
        for number in range(3):
            fill(s)
            backup(s, 9, name=str(number))
        operation = s.begin_to('shorten', max_chain_length=2, speed=1 << 20)
        answer = s.ask(name='another')
        assert answer.status == 409 and operation['id'] in answer.error['message'], answer.body
        s.daemon.request('PATCH', f"/v1/operations/{operation['id']}", {'speed': 0})
        assert s.daemon.finished(operation)['state'] == 'succeeded'
        forget_unlisted(s)
        # ... unless that was asked for as well.
        fill(s)
        s.point()
        s.refuses(400, 'invalid', 'give_way', words=('shorten',), give_way='yes')


HOLD = """#!/bin/sh
if [ "$1" = map ] && [ -p {gate} ]; then read go < {gate}; fi
exec {program} "$@"
"""


@pairs('kind', ('drive',), ('blockdev',), quick=[0])
def test_a_guest_that_ends_before(qemu, kind, chains, tmp_path, monkeypatch):
    """It is shut off while its layers are measured: nothing begins then, and nothing is held."""
    gate, program = tmp_path / 'gate', tmp_path / 'tools' / 'qemu-img'
    program.parent.mkdir()
    program.write_text(HOLD.format(gate=gate, program=shutil.which('qemu-img')))
    program.chmod(0o755)
    os.mkfifo(gate)
    monkeypatch.setenv('PATH', f"{program.parent}:{os.environ['PATH']}")
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind, daemon={'daemon.max-chain-length': 2}) as s:
        for number in range(2):
            s.grow()
            last = uploaded(s, s.begin(name=str(number)))
            s.keep(last['result']['point'])
        with gate.open('w') as opened:
            s.shut_off()
            gate.unlink()
            opened.write('\n')
        s.delete(next(iter(s.points.values())))
        assert [each['kind'] for each in s.operations()] == ['delete', 'snapshot', 'snapshot']


@pytest.mark.slow
@pairs('kind', ('drive',), ('blockdev',))
def test_a_guest_that_ends_meanwhile(qemu, kind, chains, tmp_path):
    with chains(qemu, one_disk(tmp_path, qemu, '1G'), kind=kind) as s:
        for number in range(3):
            fill(s)
            backup(s, 9, name=str(number))
        operation = s.begin_to('shorten', max_chain_length=2, speed=1 << 20)
        s.wait_step(operation, 'run-moves')
        s.shut_off()
        operation = s.daemon.finished(operation, 10)
        assert operation['state'] == 'failed' and 'ended before' in operation['error']['message'], operation
        s.work('shorten', max_chain_length=2)
        forget_unlisted(s)
