# SPDX-License-Identifier: Apache-2.0
"""An image of the store becomes the guest's disk, in the same process."""

import pytest

from support import create_qcow2, create_raw, qemus
from support.chains import one_disk
from support.machine import wait_until
from support.oracles import compare
from support.scene import pairs


def images_of(s, kept):
    return {s.index_of(disk): disk['image_id'] for disk in s.told(kept)['disks']}


def restore(s, kept, image, **members):
    """To what the point of one disk showed, which has an image."""
    mark = s.vm.mark()
    running = s.vm.alive and s.status() == 'running'
    operation = s.work('restore', image=image, **members)
    if not members.get('discard'):
        s.keep_new()
    s.at(kept, mark if running else None)
    s.judge()
    return operation


@pairs('kind, interface, iothread', ('drive', 'virtio', False), ('blockdev', 'scsi', True),
       ('blockdev', 'virtio', False), ('drive', 'scsi', True), quick=[0, 1])
def test_layers_with_their_parents(qemu, kind, interface, iothread, chains, tmp_path):
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind, interface=interface,
                iothread=iothread) as s:
        points = []
        for number in range(3):
            s.grow()
            points.append(s.point(str(number), image='layer'))
        s.grow()
        images = [images_of(s, kept)[0] for kept in points]
        process = s.vm.pid
        for place in 1, 2, 0:
            restore(s, points[place], images[place])
            s.grow()
        assert s.vm.pid == process
        s.point('afterwards')
        s.restart()
        s.judge()


@pairs('kind, fmt', ('blockdev', 'qcow2'), ('drive', 'raw'), ('drive', 'qcow2'), ('blockdev', 'raw'),
       quick=[0, 1])
def test_a_full_image(qemu, kind, fmt, chains, tmp_path):
    """Made now, and restored when the points of its time are long gone."""
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        s.grow()
        kept = s.point(image='full', format=fmt)
        image = images_of(s, kept)[0]
        s.grow()
        s.delete(kept)
        restore(s, kept, image, discard=True)
        s.grow()
        assert len(s.layers()) == 2
        s.point()
        s.judge()


@pairs('kind', ('drive',), ('blockdev',), quick=[1])
def test_of_a_guest_that_is_shut_off(qemu, kind, chains, tmp_path):
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        s.grow()
        kept = s.point(image='layer')
        s.grow()
        s.shut_off()
        restore(s, kept, images_of(s, kept)[0])
        compare(s.paths[0], (kept.copies[0], 'raw'), qemu)
        s.restart()
        s.judge()


@pairs('kind', ('drive',), ('blockdev',), quick=[1])
def test_of_which_disk(qemu, kind, chains, tmp_path):
    """Of the one that the image was made of, whether the guest runs or not."""
    disks = one_disk(tmp_path, qemu) + [create_qcow2(tmp_path / 'a' / 'larger', '128M', qemu=qemu)]
    with chains(qemu, disks, kind=kind) as s:
        s.grow()
        kept = s.point(image='layer')
        images = images_of(s, kept)

        def planned(index):
            answer = s.ask_for('restore', image=images[index], dry_run=True)
            assert answer.status == 200, answer.body
            return s.index_of(answer.json['disks'][0])
        assert [planned(0), planned(1)] == [0, 1]
        s.refuses(409, 'conflict', 'meant for', words=('restore',), image=images[1],
                  disk='disk0', dry_run=True)
        s.shut_off()
        assert [planned(0), planned(1)] == [0, 1]
        s.restart()


@pairs('kind', ('blockdev',), ('drive',), quick=[0])
def test_after_a_fold_that_was_called_off(qemu, kind, chains, tmp_path):
    """A layer below which others' data has come does not show any more what its image holds."""
    with chains(qemu, one_disk(tmp_path, qemu, '1G'), kind=kind) as s:
        points = []
        for size in 0, 220, 0, 96:
            s.grow()
            s.write(100, size)
            points.append(s.point(image='layer'))
        s.grow()
        images = [images_of(s, kept)[0] for kept in points]
        operation = s.begin_to('shorten', max_chain_length=3, speed=8 << 20)
        path = f"/v1/operations/{operation['id']}"
        wait_until(lambda: s.daemon.get(path).json['progress']['done'] > 14 << 20,
                   'much is folded')
        assert s.daemon.request('DELETE', path).status < 300
        operation = s.daemon.finished(operation)
        assert operation['state'] == 'cancelled', operation
        listed = {point['id'] for point in s.listed()}
        assert [kept.id in listed for kept in points] == [True, False, False, True]
        s.forget(points[1:3])
        s.judge()
        for place in 2, 1, 3, 0:
            restore(s, points[place], images[place], discard=True)
            s.grow()


@pairs('kind', ('blockdev',), ('drive',), quick=[1])
def test_an_image_that_is_not_what_its_record_says(qemu, kind, chains, tmp_path):
    """Nothing of the guest is touched, and nothing is left of what was downloaded."""
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        s.grow()
        kept = s.point(image='full')
        image = images_of(s, kept)[0]
        data = s.data(image)
        whole = data.read_bytes()
        data.write_bytes(whole[:-1000] + bytes(255 - byte for byte in whole[-1000:]))
        files, before = s.layers(), s._files()
        operation = s.daemon.finished(s.begin_to('restore', image=image))
        assert operation['state'] == 'failed', operation
        assert s.layers() == files and s._files() == before
        data.write_bytes(whole)
        s.judge()
        restore(s, kept, image)


@pairs('kind', ('drive',), ('blockdev',), quick=[])
def test_a_layer_alone(qemu, kind, chains, tmp_path):
    """It stands on another one that is in no store, and not on what is below that."""
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        s.point(image='layer')
        s.grow()
        s.point()
        s.grow()
        kept = s.point(image='layer', parents='ignore')
        image = images_of(s, kept)[0]
        properties = s.image(image)['properties']
        assert not {'qsnapd_parent', 'qsnapd_chain', 'base_image_ref'} & properties.keys()
        restore(s, kept, image, discard=True)       # from the layer itself, which is here
        s.grow()
        s.delete(kept)
        files, before = s.layers(), s._files()
        operation = s.daemon.finished(s.begin_to('restore', image=image))
        assert operation['state'] == 'failed', operation
        assert 'a layer alone' in operation['error']['message']
        assert s.layers() == files and s._files() == before
        s.judge()


@pytest.mark.slow
@pytest.mark.parametrize('qemu', qemus(), ids=str)
def test_the_daemon_dies_in_the_download(qemu, chains, tmp_path):
    create_raw(tmp_path / 'base', '64M', bytes(range(256)) * (128 << 10), qemu=qemu)
    (tmp_path / 'a').mkdir()
    disk = create_qcow2(tmp_path / 'a/disk', backing=str(tmp_path / 'base'), backing_format='raw')
    with chains(qemu, [disk], kind='blockdev') as s:
        s.grow()
        kept = s.point(image='full')
        image = images_of(s, kept)[0]
        s.grow()
        mark = s.vm.mark()
        operation = s.begin_to('restore', image=image)
        s.daemon.kill()
        s.daemon.start()
        assert s.daemon.finished(operation)['state'] == 'succeeded'
        s.keep_new()
        s.at(kept, mark)
        s.judge()


@pairs('kind', ('drive',), ('blockdev',), quick=[0])
def test_what_is_refused(qemu, kind, chains, tmp_path):
    with chains(qemu, kind=kind) as s:
        s.grow()
        s.point(image='layer')
        words = ('restore',)
        s.refuses(400, 'invalid', 'image', words=words)
        s.refuses(404, 'not-found', words=words, image='00000000-0000-0000-0000-000000000000',
                  disk='disk0')
        s.refuses(404, 'not-found', 'disk7', words=words, disk='disk7',
                  image=next(iter(s.images)))
        s.refuses(400, 'invalid', 'colour', words=words, colour='red', image=next(iter(s.images)))
