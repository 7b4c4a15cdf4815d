# SPDX-License-Identifier: Apache-2.0
"""What a restore fetches: the layers of an image that are not here, or not proven to be."""

import json
import os
import pathlib
import subprocess

from support.chains import one_disk
from support.oracles import chain
from support.scene import pairs


def touch(s):
    """No layer is any more the file that an image was made of, as far as anybody knows."""
    for layer in chain(s.paths[0], s.qemu)[1:]:
        os.utime(layer.path)


def asked(s, what, **members):
    """The result of an operation that makes images, not compared with files that have other names."""
    answer = s.ask_for(what, **members)
    assert answer.status == 202, answer.body
    operation = s.daemon.finished(answer.json)
    assert operation['state'] == 'succeeded', operation
    s.images |= {image['id'] for image in operation['result']['images']}
    return operation['result']


def images_of(s, kept):
    return s.told(kept)['disks'][0]['image_id']


def restored(s, kept, image, **members):
    mark = s.vm.mark() if s.vm.alive and s.status() == 'running' else None
    operation = s.work('restore', image=image, **members)
    if not members.get('discard'):
        s.keep_new()
    s.at(kept, mark)
    s.judge()
    return operation


@pairs('kind, interface, iothread', ('drive', 'virtio', False), ('blockdev', 'scsi', True),
       quick=[0, 1])
def test_layers_that_are_not_here(qemu, kind, interface, iothread, chains, tmp_path):
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind, interface=interface,
                iothread=iothread) as s:
        points = []
        for number in range(3):
            s.grow()
            points.append(s.point(str(number), image='layer'))
        s.grow()
        before = len(s._files())
        touch(s)
        operation = restored(s, points[1], images_of(s, points[1]))
        assert operation['progress']['done'] == operation['progress']['total'] > 0
        assert len(s._files()) == before + 3, 'two layers came, and an overlay'
        s.grow()
        restored(s, points[1], images_of(s, points[1]))
        assert len(s._files()) == before + 4, 'the layers that came are known for what they are'
        s.grow()
        restored(s, points[2], images_of(s, points[2]))
        assert len(s._files()) == before + 6, 'one layer more came, on those'
        s.grow()
        result = asked(s, 'snapshots', name='next', image='layer')
        assert len(result['images']) == 1, 'it needs no more than its own layer'
        s.keep(result['point'])
        s.restart()
        s.judge()


def full(s, **members):
    """A full image of the disk; its id."""
    return asked(s, 'images', **members)['images'][0]['id']


@pairs('kind, fmt', ('blockdev', 'qcow2'), ('drive', 'raw'), quick=[0, 1])
def test_a_standalone_image(qemu, kind, fmt, chains, tmp_path):
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        s.grow()
        kept = s.point()
        image = full(s, format=fmt)
        model = dict(s.models[0])
        s.grow()
        before = len(s._files())
        mark = s.vm.mark()
        s.work('restore', image=image)
        s.keep_new()
        s.models[0] = model
        s.judge_model(s.paths[0], model)
        s.vm.wait_for_writes(10)
        assert s.vm.since(mark), 'the guest has begun anew'
        assert len(s.layers()) == 2 and len(s._files()) == before + 2
        s.revert(kept, discard=True)
        s.judge()


@pairs('kind', ('blockdev',), quick=[0])
def test_headers_that_nobody_wants(qemu, kind, chains, tmp_path):
    """An image with a backing file of its own choice, with a data file, or of another size."""
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        s.grow()
        s.point()
        image = full(s, format='qcow2')
        data, record = s.data(image), s.store / f'{image}.json'
        secret = tmp_path / 'secret'
        secret.write_bytes(b'secret' * 10000)
        evil = tmp_path / 'evil'
        for options in (['-b', str(secret), '-F', 'raw', '-o', 'size=64M'],
                        ['-o', f'data_file={secret},data_file_raw=on,size=64M'],
                        ['-o', 'size=128M']):
            evil.unlink(missing_ok=True)
            subprocess.run([qemu.img, 'create', '-q', '-f', 'qcow2', *options, evil],
                           env=qemu.env, check=True)
            told = json.loads(record.read_text())
            told.update(size=evil.stat().st_size,
                        md5=subprocess.check_output(['md5sum', evil], text=True).split()[0],
                        sha512=subprocess.check_output(['sha512sum', evil], text=True).split()[0])
            for name in 'checksum', 'os_hash_value':
                if name in told:
                    told[name] = told['md5' if name == 'checksum' else 'sha512']
            record.write_text(json.dumps(told))
            data.write_bytes(evil.read_bytes())
            files = s._files()
            operation = s.daemon.finished(s.begin_to('restore', image=image))
            assert operation['state'] == 'failed', operation
            assert operation['error']['code'] == 'conflict', operation['error']
            assert s._files() == files and not list(pathlib.Path(s.paths[0][0]).parent.glob('*.part'))
