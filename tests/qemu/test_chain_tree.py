# SPDX-License-Identifier: Apache-2.0
"""What is known of a chain outlives moves on it, its guest, and the way to another host."""

import os

import pytest

from support import Disk, programs, qemus
from support.chains import ChainScene, one_disk
from support.daemon import Daemon
from support.machine import wait_until
from support.oracles import compare
from support.scene import Scene


def over_a_base(folder, qemu):
    """A disk over an image that it shares."""
    for name in 'a', 'base':
        (folder / name).mkdir()
    base, disk = folder / 'base/golden.img', folder / 'a/disk'
    programs.img('create', '-f', 'qcow2', base, '64M', qemu=qemu)
    programs.img('create', '-f', 'qcow2', '-b', base, '-F', 'qcow2', disk, '64M', qemu=qemu)
    return [Disk(disk, 'qcow2')]


def backups(scene, *names):
    operations = []
    for name in names:
        scene.vm.wait_for_writes(20)
        operations.append(scene.backup(name=name, image='layer'))
    return operations


def shorten(scene, length=3):
    answer = scene.daemon.post('/v1/guests/g/shorten', {'max_chain_length': length})
    operation = scene.daemon.finished(answer.json)
    assert operation['state'] == 'succeeded', operation
    scene.frozen = {point['disks'][0]['layer']: scene.frozen[point['disks'][0]['layer']]
                    for point in told(scene.daemon, 'snapshots')['snapshots']}
    for layer, (_, fmt, _, _) in scene.frozen.items():
        scene.judge_layer(0, layer, fmt)
    return operation


def told(daemon, what):
    answer = daemon.get(f'/v1/guests/g/{what}'.rstrip('/'))
    assert answer.status == 200, answer.body
    return answer.json


def layers(tree):
    return {os.path.basename(layer['path']): layer
            for disk in tree['disks'] for layer in disk['layers']}


def take_fourth(scene, daemon, parent, folder):
    """A backup sends its own layer only, over `parent`; what is restored from it is the disk."""
    scene.vm.wait_for_writes(20)
    operation = daemon.snapshot('g', name='fourth', image='layer')
    assert operation['state'] == 'succeeded', operation
    image, = operation['result']['images']
    assert image['parent'] == parent and image['is_point']
    disk, = operation['result']['disks']
    compare(scene.restore(image['id'], folder), (disk['layer'], 'qcow2'), scene.qemu)
    scene.images.add(image['id'])
    scene.judge_layer(0, disk['layer'])


@pytest.mark.parametrize('qemu', qemus())
def test_incremental_after_a_fold(tmp_path, qemu):
    with Scene(tmp_path, qemu, over_a_base(tmp_path, qemu)) as s:
        done = backups(s, 'first', 'second', 'third')
        first, second, third = told(s.daemon, 'snapshots')['snapshots']
        parents = [point['parent'] for point in (first, second, third)]
        assert parents == [None, first['id'], second['id']]
        assert all(point['disks'][0]['in_chain'] and point['parent_by'] == 'layers'
                   for point in (first, second, third))

        assert shorten(s)['result']['moves']
        point, = told(s.daemon, 'snapshots')['snapshots']
        assert (point['id'], point['parent']) == (third['id'], None)
        last = done[-1]['result']['images'][-1]['id']
        assert point['disks'][0]['image_id'] == last
        take_fourth(s, s.daemon, last, tmp_path / 'back')


def test_to_another_host(tmp_path):
    """The files stay, and the daemon that comes knows nothing of them until it is told."""
    with Scene(tmp_path, disks=over_a_base(tmp_path, None)) as s:
        done = backups(s, 'first', 'second', 'third')
        shorten(s)
        tree = told(s.daemon, 'tree')
        assert {name for name, layer in layers(tree).items() if layer['active']} >= {'disk.3'}
        assert layers(tree)['golden.img']['backing'] is None
        assert tree['points'] == told(s.daemon, 'snapshots')['snapshots']
        s.daemon.stop()

        s.daemon = Daemon(tmp_path / 'other')
        s.daemon.store = s.store
        s.daemon.start()
        assert s.daemon.attach(s.vm.qmp_path, id='g') == 'g'
        assert told(s.daemon, 'tree')['points'] == []

        wrong = {**tree, 'points': [{**tree['points'][0], 'disks': [
            {**tree['points'][0]['disks'][0], 'layer': '/etc/passwd'}]}]}
        assert s.daemon.request('PUT', '/v1/guests/g/tree', wrong).status == 400
        wrong = {**tree, 'folder': str(tmp_path)}
        answer = s.daemon.request('PUT', '/v1/guests/g/tree', wrong)
        assert answer.status == 409 and f'{tmp_path}/disk.' in answer.error['message']
        assert told(s.daemon, 'tree')['points'] == []

        for _ in range(2):
            assert s.daemon.request('PUT', '/v1/guests/g/tree', tree).status == 204
            now = told(s.daemon, 'tree')
            assert (now['points'], now['images']) == (tree['points'], tree['images'])
            assert {name: layer['points'] for name, layer in layers(now).items()} \
                == {name: layer['points'] for name, layer in layers(tree).items()}
        take_fourth(s, s.daemon, done[-1]['result']['images'][-1]['id'], tmp_path / 'back')


@pytest.mark.slow
def test_an_old_tree(tmp_path):
    """What was merged into a layer since it was told can be seen: no point of before is taken over, and no image."""
    with ChainScene(tmp_path, disks=one_disk(tmp_path)) as s:
        first = s.point('first', image='layer')
        s.write()
        tree = s.daemon.get(s.path('tree')).json
        s.commit(discard_points=True, base=s.layers()[-2], gone=[first])
        s.point('third')
        answer = s.ask_for('tree', method='PUT', **tree)
        assert answer.status == 409 and 'written to' in answer.error['message'], answer.body
        answer = s.ask_for('tree', method='PUT', **{**tree, 'points': []})
        assert answer.status == 204, answer.body
        s.judge()
        s.keep(s.backup(name='fourth', image='layer')['result']['point'])
        s.judge()


def test_of_a_guest_that_is_gone(tmp_path):
    with Scene(tmp_path, disks=over_a_base(tmp_path, None)) as s:
        backups(s, 'first', 'second')
        there, tree = told(s.daemon, 'snapshots'), layers(told(s.daemon, 'tree'))
        s.vm.kill()
        wait_until(lambda: told(s.daemon, '')['state'] == 'gone', 'the guest is gone')
        assert told(s.daemon, 'snapshots') == there
        gone = layers(told(s.daemon, 'tree'))
        assert {name: gone[name]['points'] for name in gone} \
            == {name: tree[name]['points'] for name in gone}
        assert gone['disk.2']['active'] and gone['disk.1']['children'] == [gone['disk.2']['path']]
        s.restart()
