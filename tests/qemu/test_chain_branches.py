# SPDX-License-Identifier: Apache-2.0
"""Trees: branches after going back, what they share, and the tree as one document."""

import itertools
import shutil

import pytest

from support import qemus
from support.chains import ChainScene, one_disk
from support.scene import pairs


def tree_of(s):
    answer = s.daemon.get(s.path('tree'))
    assert answer.status == 200, answer.body
    return answer.json


def branched(s):
    """root <- left <- (left branch), root <- right <- active."""
    s.grow()
    root = s.point('root')
    s.grow()
    left = s.point('left')
    s.grow()
    _, branch = s.revert(root, name='left branch')
    s.grow()
    right = s.point('right')
    s.grow()
    return [root, left, branch, right]


@pairs('kind, order', ('drive', (0, 1, 2, 3)), ('blockdev', (2, 0, 3, 1)), ('blockdev', (1, 0, 2, 3)),
       ('drive', (3, 2, 1, 0)), quick=[0, 1])
def test_delete_in_a_branched_tree(qemu, kind, order, chains):
    with chains(qemu, kind=kind) as s:
        points = branched(s)
        for place in order:
            s.delete(points[place])
            s.grow()
        assert [len(s.layers(index)) for index in (0, 1)] == [1, 1], \
            'nothing is left that a point needs'


@pytest.mark.slow
@pytest.mark.parametrize('qemu', qemus(), ids=str)
@pytest.mark.parametrize('kind', ['drive', 'blockdev'])
@pytest.mark.parametrize('order', list(itertools.permutations(range(4)))[::3])
def test_delete_in_every_order(qemu, kind, order, chains, tmp_path):
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        points = branched(s)
        for place in order:
            s.delete(points[place])
            s.grow()
        assert len(s.layers()) == 1


@pairs('kind', ('blockdev',), ('drive',), quick=[0])
def test_there_and_back(qemu, kind, chains):
    """Every point of a branched tree can be gone back to, however the tree was pruned."""
    with chains(qemu, kind=kind) as s:
        root, left, branch, right = branched(s)
        s.delete(left)
        for kept in branch, right, root:
            s.revert(kept, discard=True)
            s.grow()
        s.delete(right)
        s.revert(branch)
        s.grow()


@pairs('kind', ('drive',), ('blockdev',), quick=[0])
def test_what_two_branches_share_is_not_changed(qemu, kind, chains, tmp_path):
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        root, left, branch, right = branched(s)
        s.refuses(409, 'conflict', words=('disks', 'disk0', 'commit'), discard_points=True)
        s.refuses(409, 'conflict', words=('disks', 'disk0', 'commit'), top='right', base='root',
                  discard_points=True)
        s.stream()
        assert len(s.layers()) == 1, 'it stands alone, and the rest stays for the points'
        for kept in root, right, left, branch:
            s.delete(kept)
        assert [path.name for path in (tmp_path / 'a').iterdir()
                if not path.samefile(s.paths[0][0])] == [], 'files of nobody'


@pairs('kind', ('blockdev',), ('drive',), quick=[1])
def test_the_tree_tells_what_lives_where(qemu, kind, chains, tmp_path):
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        root, left, branch, right = branched(s)
        named = s.point('before the upgrade')       # a named layer below the active one
        disk, = (disk for disk in tree_of(s)['disks'] if disk['published'] == s.paths[0][0])
        layers = {layer['path']: layer for layer in disk['layers']}
        living = {point: path for path, layer in layers.items() for point in layer['points']}
        assert living.keys() == s.points.keys()
        for kept in s.points.values():
            assert living[kept.id] == s.file_of(kept)[0]
        active, = (layer for layer in layers.values() if layer['active'])
        assert layers[active['backing']]['points'] == [named.id]
        assert {path for path, layer in layers.items() if not layer['in_chain']} == \
            {living[left.id], living[branch.id]}
        parents = {point['id']: point['parent'] for point in tree_of(s)['points']}
        assert parents == {root.id: None, left.id: root.id, branch.id: left.id, right.id: root.id,
                           named.id: right.id}
        drawn = s.daemon.qsnap('tree', s.guest, check=True).stdout
        for kept in s.points.values():
            assert kept.name in drawn, drawn


@pairs('kind', ('drive',), ('blockdev',), quick=[0])
def test_a_tree_moves_to_another_host(qemu, kind, chains, tmp_path):
    """With its files, in another folder: every point is known there, and can be gone back to."""
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        points = branched(s)
        tree = tree_of(s)
        tree['disks'] = [disk for disk in tree['disks'] if disk['published'] == s.paths[0][0]]
        s.vm.quit()
        there = tmp_path / 'there'
        (there / 'a').mkdir(parents=True)
        for path in sorted((tmp_path / 'a').iterdir()):
            if path.name != 'disk':
                shutil.copy2(path, there / 'a')
        active = next(layer['path'] for layer in tree['disks'][0]['layers'] if layer['active'])
        (there / 'a/disk').hardlink_to(there / 'a' / active.rpartition('/')[2])
        copies, models, mark = s.points, s.models, s.vm.acked()
        with ChainScene(there, qemu, [there / 'a/disk'], kind=kind) as t:
            t.restarted = True
            assert t.vm.acked() > mark
            broken = {**tree, 'disks': [{**tree['disks'][0], 'layers': [
                {**layer, 'virtual_size': 1 << 40} for layer in tree['disks'][0]['layers']]}]}
            answer = t.daemon.request('PUT', t.path('tree'), {**broken, 'folder': str(there / 'a')})
            assert answer.status in (400, 409), answer.body
            assert not t.listed()
            answer = t.daemon.request('PUT', t.path('tree'), {**tree, 'folder': str(there / 'a')})
            assert answer.status in (200, 201, 204), answer.body
            t.points, t.models = dict(copies), [dict(model) for model in models]
            t.judge()
            t.revert(points[1])
            t.grow()
            t.delete(points[2])
        s.restart()
