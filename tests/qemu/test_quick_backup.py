# SPDX-License-Identifier: Apache-2.0
"""Points of running guests, and the images made of them."""

import json
import os
import pathlib
import shutil
import uuid

import pytest

from support import Disk, create_qcow2, create_raw, programs, qemus
from support.oracles import assert_chain
from support.scene import digest, pairs


def named_disks(folder, qemu, names):
    for name in 'ab':
        (folder / name).mkdir()
    return [Disk(create_qcow2(folder / name / 'disk', qemu=qemu), names=names) for name in 'ab']


@pairs('kind, names, interface',
       ('drive', 'unnamed', 'virtio'), ('drive', 'unnamed', 'scsi'),
       ('drive', 'named', 'scsi'), ('drive', 'named', 'virtio'),
       ('blockdev', 'unnamed', 'scsi'), ('blockdev', 'unnamed', 'virtio'),
       ('blockdev', 'named', 'virtio'), ('blockdev', 'named', 'scsi'))
def test_three_points_in_a_row(qemu, kind, names, interface, scene, tmp_path):
    disks = named_disks(tmp_path, qemu, names == 'named')
    with scene(qemu, disks, kind=kind, interface=interface, cd=True) as s:
        for number in range(3):
            operation = s.backup(name=f'point {number}', metadata={'number': str(number)})
            layers = [disk['layer'] for disk in operation['result']['disks']]
            assert layers == [f'{disk.path}.{number}' for disk in disks]
            assert len(operation['result']['images']) == 2, 'something was uploaded again'
            for disk in operation['result']['disks']:
                image = s.image(disk['image_id'])
                assert image['name'] == f"point {number}/{disk['disk']}"
                assert image['properties']['number'] == str(number)
                assert image['properties']['qsnapd_point'] == operation['id']
            s.compare_restored(operation)
            s.vm.wait_for_writes(30)
            s.judge()
        assert operation['result']['quiesced'] == 'not asked'
        for disk in disks:
            assert_chain(disk.path, ['disk', 'disk.2', 'disk.1', 'disk.0'], qemu=qemu)
        points = s.daemon.get(f'/v1/guests/{s.guest}/snapshots').json['snapshots']
        assert [point['name'] for point in points] == ['point 0', 'point 1', 'point 2']
        assert [point['metadata'] for point in points] == [{'number': str(n)} for n in range(3)]
        assert points[2]['id'] == operation['result']['point']
        assert {disk['image_id'] for disk in points[2]['disks']} == \
            {disk['image_id'] for disk in operation['result']['disks']}


def on_two_bases(folder, qemu):
    """A disk on a qcow2 on a raw file."""
    create_raw(folder / 'base', '64M', os.urandom(1 << 20), qemu=qemu)
    create_qcow2(folder / 'middle', backing='base', backing_format='raw', qemu=qemu)
    return create_qcow2(folder / 'disk', backing='middle', qemu=qemu)


@pairs('kind', ('drive',), ('blockdev',))
def test_missing_parents_go_up_once_and_first(qemu, kind, scene, tmp_path):
    disk = on_two_bases(tmp_path, qemu)
    with scene(qemu, [disk], kind=kind) as s:
        operation = s.backup(name='first', parents='upload')
        images = operation['result']['images']
        names = [image['name'] for image in images]
        assert [name.rpartition('/')[2] for name in names] == ['base', 'middle', 'first']
        assert [image['is_point'] for image in images] == [False, False, True]
        assert [image.get('parent') for image in images] == [None, images[0]['id'], images[1]['id']]
        base, middle, point = (s.image(image['id']) for image in images)
        assert (base['disk_format'], base['hidden'], base['properties']['qsnapd_kind']) == \
            ('raw', False, 'base')
        assert (middle['hidden'], middle['properties']['qsnapd_kind']) == (True, 'layer')
        assert point['properties']['base_image_ref'] == base['id']
        assert 'qsnapd_point' not in middle['properties']
        s.compare_restored(operation)

        operation = s.backup(name='second')
        assert [image['name'] for image in operation['result']['images']] == ['second']
        assert s.image(operation['result']['images'][0]['id'])['properties']['qsnapd_chain'] == \
            ','.join(image['id'] for image in (point, middle, base))
        s.compare_restored(operation)

        s.backup(name='third', parents='require')

        answer = s.daemon.delete(f"/v1/images/{middle['id']}")
        assert answer.status == 409 and point['id'] in answer.error['message']


@pairs('kind', ('drive',), ('blockdev',))
def test_require_refuses_before_anything_is_touched(qemu, kind, scene, tmp_path):
    disk = on_two_bases(tmp_path, qemu)
    with scene(qemu, [disk], kind=kind) as s:
        error = s.refused(409, 'conflict', str(tmp_path / 'base'), parents='require')
        assert 'image_ref' in error['hint']
        s.backup(parents='ignore', image='none')
        s.refused(409, 'conflict', str(tmp_path / 'base'), parents='require')


@pairs('kind', ('drive',), ('blockdev',))
def test_ignore_uploads_the_layer_alone(qemu, kind, scene, tmp_path):
    disk = on_two_bases(tmp_path, qemu)
    with scene(qemu, [disk], kind=kind) as s:
        operation = s.backup(name='alone', parents='ignore')
        image, = operation['result']['images']
        record = s.image(image['id'])
        assert record['hidden'] and record['properties']['qsnapd_kind'] == 'layer'
        assert not {'qsnapd_parent', 'qsnapd_chain', 'base_image_ref'} & record['properties'].keys()
        # Now that somebody wants it restorable, all that is missing goes up, and the layer over it anew.
        operation = s.backup(name='whole', parents='upload')
        assert len(operation['result']['images']) == 4
        s.compare_restored(operation)


def put_image(store, path, fmt='qcow2'):
    """What a stack that keeps its images there has put into the store; its id."""
    name = str(uuid.uuid4())
    shutil.copy(path, store / f'{name}.{fmt}')
    record = {'id': name, 'name': 'a distribution', 'disk_format': fmt, 'status': 'active',
              'hidden': False, 'min_disk': 1, 'min_ram': 0, 'size': os.path.getsize(path),
              'md5': digest(path, 'md5'), 'sha512': digest(path), 'properties': {}}
    (store / f'{name}.json').write_text(json.dumps(record))
    return name


@pairs('where', ('request',), ('guest',))
def test_the_base_came_from_the_store(qemu, where, scene, tmp_path):
    base = create_raw(tmp_path / 'base', '64M', os.urandom(1 << 20), qemu=qemu)
    programs.img('convert', '-f', 'raw', '-O', 'qcow2', base, tmp_path / 'base.qcow2', qemu=qemu)
    disks = [create_qcow2(tmp_path / name, backing='base.qcow2', qemu=qemu) for name in ('x', 'y')]
    missing = str(uuid.uuid4())
    with scene(qemu, disks, kind='blockdev') as s:
        s.refused(409, 'conflict', missing, image_ref=missing)
        s.refused(409, 'conflict', missing, image_ref={'disk1': missing}, parents='ignore')
        reference = put_image(s.store, tmp_path / 'base.qcow2')
        s.images.add(reference)
        if where == 'guest':
            assert s.daemon.delete(f'/v1/guests/{s.guest}').status == 204
            s.daemon.attach(s.vm.qmp_path, id='g', image_refs={'*': reference})
            operation = s.backup(name='p', parents='require')
        else:
            operation = s.backup(name='p', parents='require', image_ref=reference)
        assert len(operation['result']['images']) == 2
        for image in operation['result']['images']:
            properties = s.image(image['id'])['properties']
            assert properties['qsnapd_parent'] == properties['base_image_ref'] == reference
        s.compare_restored(operation)
        # From now on the layer's image says what it stands on.
        operation = s.backup(name='q', **({} if where == 'guest' else {'image_ref': reference}))
        assert len(operation['result']['images']) == 2
        s.compare_restored(operation)


@pairs('kind, commit', ('blockdev', False), ('drive', True), quick=[0])
def test_the_guest_writes_to_the_base(qemu, kind, commit, scene, tmp_path):
    """What came from an image shows soon something else: from then on nobody's word counts."""
    with scene(qemu, [create_qcow2(tmp_path / 'disk', qemu=qemu)], kind=kind) as s:
        (tmp_path / 'golden').mkdir()
        reference = put_image(s.store, create_qcow2(tmp_path / 'golden/image', qemu=qemu))
        s.images.add(reference)
        s.backup(image='none', image_ref=reference)
        s.refused(409, 'conflict', 'disk.0', image_ref=reference, parents='require')
        below = None
        for images in 2, 1:
            operation = s.backup(image_ref=reference)
            assert len(operation['result']['images']) == images
            s.compare_restored(operation)
            point = operation['result']['images'][-1]
            assert below in (None, point['parent'])
            below = point['id']
            s.vm.wait_for_writes(30)
        if commit:
            operation = s.daemon.post(f'/v1/guests/{s.guest}/disks/disk0/commit',
                                      {'discard_points': True})
            assert s.daemon.finished(operation.json)['state'] == 'succeeded'
            s.frozen.clear()
            # The image need not even be there.
            for _ in range(2):
                operation = s.backup(image_ref=str(uuid.uuid4()))
                assert len(operation['result']['images']) == 1
                s.compare_restored(operation)
                s.vm.wait_for_writes(30)


@pairs('kind', ('blockdev',), ('drive',))
def test_points_without_images(qemu, kind, scene):
    with scene(qemu, kind=kind) as s:
        operation = s.backup(name='here only', image='none')
        assert 'images' not in operation['result'] or not operation['result']['images']
        s.judge()
        operation = s.backup(name='all of it')
        assert len(operation['result']['images']) == 4, 'the layers before go up too'
        s.compare_restored(operation)


@pairs('kind', ('drive',), ('blockdev',))
def test_some_disks_only(qemu, kind, scene, tmp_path):
    with scene(qemu, kind=kind) as s:
        operation = s.backup(name='one disk', disks=['disk1'])
        disk, = operation['result']['disks']
        assert disk['layer'] == f'{tmp_path}/b/disk.0'
        image, = operation['result']['images']
        assert s.image(image['id'])['name'] == 'one disk'
        assert sorted(os.listdir(tmp_path / 'a')) == ['disk']
        s.judge()
        # By its path, and both by names that mean one disk.
        operation = s.backup(disks=[f'{tmp_path}/a/disk', 'disk0', s.disk('disk0')['name']])
        assert len(operation['result']['disks']) == 1
        s.backup(name='all')
        s.refused(404, 'not-found', 'nothing', disks=['disk0', 'nothing'])


@pytest.mark.parametrize('qemu', qemus(), ids=str)
def test_names_that_nobody_asked_for(qemu, scene):
    """A point without a name gets one; a request that has no body takes all defaults."""
    with scene(qemu) as s:
        operation = s.backup()
        points = s.daemon.get(f'/v1/guests/{s.guest}/snapshots').json['snapshots']
        assert points[0]['name'].startswith('snapshot-2')
        assert operation['request'] == {}
        for image in operation['result']['images']:
            assert s.image(image['id'])['name'].startswith(points[0]['name'])
            assert pathlib.Path(s.data(image['id'])).stat().st_mode & 0o077 == 0
