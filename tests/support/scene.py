# SPDX-License-Identifier: Apache-2.0
"""A guest that writes, a qsnapd beside it, and every oracle over what both leave behind."""

import hashlib
import json
import os
import pathlib
import re
import shutil

from . import bootsector, programs
from .daemon import Daemon
from .images import create_qcow2
from .machine import Machine, wait_until
from .oracles import (
    assert_chain,
    assert_graph,
    assert_live,
    assert_name,
    assert_prefix,
    chain,
    check,
    compare,
    records,
)

BACKING = slice(8, 20)      # the bytes of a qcow2 header that tell where its backing file's name is


def pairs(names, *rows, quick=None):
    """Parameters of a test: each row with one of the QEMUs, in turn.

    `quick` are the places of the rows that are not marked slow, where that is not all.
    """
    import pytest
    found = programs.qemus()
    values = []
    for place, row in enumerate(rows):
        value = (found[place % len(found)], *row)
        marks = () if quick is None or place in quick else (pytest.mark.slow,)
        values.append(pytest.param(*value, id='-'.join(map(str, value)), marks=marks))
    return pytest.mark.parametrize(f'qemu, {names}', values)


def size_of(path):
    """In bytes, of a file or a block device."""
    with open(path, 'rb') as file:
        return file.seek(0, os.SEEK_END)


def digest(path, algorithm='sha512'):
    with open(path, 'rb') as file:
        hashed = hashlib.new(algorithm)
        while block := file.read(1 << 20):
            hashed.update(block)
        return hashed.hexdigest()


def two_disks(folder, qemu=None):
    """Two qcow2 disks, each in a folder of its own."""
    for name in 'ab':
        (folder / name).mkdir(exist_ok=True)
    return [create_qcow2(folder / name / 'disk', qemu=qemu) for name in 'ab']


class Scene:
    """For `with`. When the block ends without an error, all oracles are asked once more.

    disks    as for the peer; two_disks() when left out
    peer     Machine or StorageDaemon, with `options`
    daemon   settings of the daemon, e.g. {'snapshot.quiesce': 'try'}
    attach   members of the request that attaches the guest

    paths[i] is what written disk i is to be started from; `frozen` are the layers of all points.
    """

    def __init__(self, folder, qemu=None, disks=None, *, peer=Machine, daemon=None, attach=None,
                 **options):
        self.folder, self.qemu = pathlib.Path(folder), qemu or programs.default()
        disks = two_disks(self.folder, self.qemu) if disks is None else disks
        self.vm = peer(self.qemu, disks=disks, folder=self.folder / 'p', **options)
        self.daemon = Daemon(self.folder / 'd', options=daemon)
        self.store = self.daemon.store
        self.paths = [(str(disk.path), disk.format) for disk in self.vm.written]
        self.frozen, self.images = {}, set()
        self.renamed, self.restarted, self.still = set(), False, False
        self._attach = attach or {}
        self._known_files = self._files()

    def __enter__(self):
        self.daemon.start()
        try:
            self.vm.start()
            if not getattr(self.vm, 'paused', False):
                self.vm.wait_for_writes(20)
            self.guest = self.daemon.attach(self.vm.qmp_path, id='g', **self._attach)
        except BaseException:
            self.vm.kill()
            self.daemon.kill()
            raise
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.judge()
                self.end()
        finally:
            self.vm.kill()
            if self.daemon.process.poll() is None:
                self.daemon.kill()

    # Asking

    def disk(self, name):
        """One of the guest's disks as the daemon tells it."""
        disks = self.daemon.get(f'/v1/guests/{self.guest}/disks').json['disks']
        return next(disk for disk in disks if name in (disk['name'], *disk['aliases']))

    def status(self):
        return self.vm.qmp.execute('query-status')['status']

    def has_ids(self):
        """Whether the devices have ids."""
        return getattr(self.vm, 'ids', True)

    def device(self, name='disk0'):
        """What query-block says of a device."""
        blocks = self.vm.qmp.execute('query-block')
        if self.has_ids():
            return next(block for block in blocks if name in block.get('qdev', '').split('/'))
        return [block for block in blocks if 'peripheral-anon' in block.get('qdev', '')][int(name[-1])]

    def root(self, name='disk0'):
        """The node that a device is on."""
        return self.device(name)['inserted']['node-name']

    def as_guest(self, command, device='disk0'):
        """Reads or writes as the guest does, in qemu-io's words; what is said to it."""
        return self.vm.qmp.execute('human-monitor-command', {
            'command-line': f'qemu-io -d {self.device(device)["qdev"]} "{command}"'}, timeout=60)

    def image(self, image_id):
        answer = self.daemon.get(f'/v1/images/{image_id}')
        assert answer.status == 200, answer.body
        return answer.json

    def ask(self, headers=None, **members):
        """Asks for a point; the answer as it is."""
        return self.daemon.post(f'/v1/guests/{self.guest}/snapshots', members, headers=headers)

    def backup(self, timeout=120, **members):
        """Takes a point, which must succeed, and judges it; the operation."""
        before = self.vm.acked()
        operation = self.daemon.snapshot(self.guest, timeout, **members)
        self.judge_point(operation, before, self.vm.acked())
        return operation

    def state(self):
        """Whatever a request that is refused must leave as it is."""
        nodes = self.vm.qmp.execute('query-named-block-nodes', flat=True)
        return {
            'nodes': sorted((node['node-name'], node['drv'], node['file'], node['ro'])
                            for node in nodes),
            'files': self._files(),
            'store': sorted(os.listdir(self.store)) if self.store.exists() else [],
            'operations': [operation['id'] for operation in self.operations()],
        }

    def begin(self, **members):
        """Begins a backup; the operation as it is then."""
        answer = self.ask(**members)
        assert answer.status == 202, answer.body
        return answer.json

    def wait_step(self, operation, step, timeout=60):
        """Waits until an operation has come to a step; to `upload`: until it has moved some bytes."""
        def there():
            now = self.daemon.get(f"/v1/operations/{operation['id']}").json
            assert now['state'] in ('queued', 'running'), now
            return now['step'] == step and (step != 'upload' or now['progress']['done'] > 0)
        wait_until(there, f'it comes to {step}', timeout, interval=0.01)

    def operations(self):
        return self.daemon.get('/v1/operations').json['operations']

    def refused(self, status, code, *words, headers=None, **members):
        """A request that must be refused with these words in its message, nothing touched."""
        before = self.state()
        answer = self.ask(headers, **members)
        assert answer.status == status, answer.body
        assert answer.error['code'] == code, answer.body
        for word in words:
            assert word in answer.error['message'], f'{word!r} is not in {answer.error["message"]!r}'
        assert self.state() == before, 'it was refused, and something has changed'
        return answer.error

    # Judging

    def _folders(self):
        return {pathlib.Path(path).resolve().parent for path, _ in self.paths
                if not pathlib.Path(path).is_block_device()}

    def _files(self):
        """Everything in the disks' folders: path -> (inode, mode, owner)."""
        return {str(path): ((stat := path.lstat()).st_ino, oct(stat.st_mode), stat.st_uid, stat.st_gid)
                for folder in self._folders() for path in folder.iterdir() if not path.is_dir()}

    def judge_point(self, operation, before, after):
        """A backup that must have succeeded: PREFIX and DATA of its layers, and its images."""
        assert operation['state'] == 'succeeded', json.dumps(operation, indent=1)
        assert operation['error'] is None
        self.images |= {image['id'] for image in operation['result'].get('images', ())}
        self.judge_layers(operation, before, after)

    def judge_layers(self, operation, before, after):
        """PREFIX and DATA of what an operation says it has frozen, whatever became of it later."""
        layers = {}
        for index, disk, fmt in self.follow(operation):
            layers[index] = (disk['layer'], fmt)
            assert chain(disk['overlay'], self.qemu)[0].backing_format == fmt
            self.judge_layer(index, disk['layer'], fmt)
            if disk.get('image_id') in self.images:
                self.judge_upload(disk['image_id'], disk['layer'], fmt)
        if len(layers) == len(self.paths):
            point = assert_prefix([layer for _, layer in sorted(layers.items())], self.qemu)
            assert before <= point <= after + 1, f'the point is at {point}, not in {before}..{after}'

    def follow(self, operation):
        """From now on disks are started from where an operation says: (index, what it says, format)."""
        followed = []
        for disk in operation['result']['disks']:
            index = self.index_of(disk)
            followed.append((index, disk, self.paths[index][1]))
            self.paths[index] = (disk['path'], 'qcow2')
            self.renamed.add(index)
        return followed

    def index_of(self, disk):
        """Which of the written disks one is that the daemon tells of."""
        return self.vm.written.index(self.vm.disks[int(re.search(r'(\d+)', disk['disk'])[1])])

    def judge_layer(self, index, layer, fmt='qcow2'):
        """A frozen layer is whole, and one point of its disk; from now on it must not change."""
        assert_chain((layer, fmt), ours=0, qemu=self.qemu)
        found = records((layer, fmt), len(self.paths), index, self.qemu)
        last = max(found.values(), default=0)
        assert found == bootsector.state(last, len(self.paths))[index], f'{layer} is not one point'
        stat = os.stat(layer)
        self.frozen[layer] = (stat.st_ino, fmt, stat.st_size, stat.st_mtime_ns)

    def judge_upload(self, image_id, layer, fmt='qcow2'):
        """The image, and all that it stands on, are what the chain below `layer` is."""
        record = self.image(image_id)
        properties = record['properties']
        files = chain((layer, fmt), self.qemu)
        ids = [image_id, *filter(None, properties.get('qsnapd_chain', '').split(','))]
        if len(ids) < len(files):   # parents: ignore
            files = files[:len(ids)]
        assert len(ids) == len(files), f'{image_id} names {ids}, its layers are {files}'
        for depth, (name, file) in enumerate(zip(ids, files)):
            self.judge_image(name, file, ids[depth + 1:])
        return ids

    def data(self, image_id):
        """Where the bytes of an image are."""
        return self.store / f"{image_id}.{self.image(image_id)['disk_format']}"

    def judge_image(self, image_id, file, chain_below):
        record = self.image(image_id)
        properties = record['properties']
        kept, path = self.data(image_id), file.path
        assert record['status'] == 'active' and record['size'] == size_of(path)
        assert record['disk_format'] == file.format
        assert record['sha512'] == digest(kept) and record['md5'] == digest(kept, 'md5')
        whole = file.backing is None
        if whole:
            assert digest(kept) == digest(path), f'{image_id} is not {path}'
        else:
            with open(kept, 'rb') as sent, open(path, 'rb') as layer:
                head, original = sent.read(512), bytearray(layer.read(512))
                assert head[BACKING] == bytes(12), f'{image_id} names its backing file'
                original[BACKING] = bytes(12)
                assert head == original
                while a := sent.read(1 << 20):
                    assert a == layer.read(1 << 20), f'{image_id} is not {path}'
        if 'qsnapd_kind' in properties:     # else it is one that the caller has put there
            assert record['hidden'] == (not whole)
            assert properties['qsnapd_kind'] == ('base' if whole else 'layer')
            assert properties['qsnapd_virtual_size'] == str(file.size)
            assert properties.get('qsnapd_parent') == (chain_below[0] if chain_below else None)
            assert properties.get('qsnapd_chain') == (','.join(chain_below) or None)

    def restore(self, image_id, folder):
        """Puts the chain of an image together again in `folder`; the path of its top, and its format."""
        folder.mkdir(exist_ok=True)
        ids = [image_id, *filter(None, self.image(image_id)['properties'].get('qsnapd_chain', '')
                                 .split(','))]
        below = None
        for name in reversed(ids):
            copy = folder / f"{name}.{self.image(name)['disk_format']}"
            shutil.copy(self.data(name), copy)
            if below:
                programs.img('rebase', '-u', '-f', copy.suffix[1:], '-b', below.name,
                             '-F', below.suffix[1:], copy, qemu=self.qemu)
            below = copy
        return copy, copy.suffix[1:]

    def compare_restored(self, operation):
        """The point, restored from the store alone, is what the guest saw then."""
        for disk in operation['result']['disks']:
            restored = self.restore(disk['image_id'], self.folder / 'restored')
            compare(restored, (disk['layer'], self.frozen[disk['layer']][1]), self.qemu)

    def judge(self):
        """GRAPH, LIVE, the files and the store, while both run."""
        for operation in self.operations():
            assert operation['state'] not in ('queued', 'running'), operation
        if not self.still:
            self.vm.wait_for_writes(20)
        assert not self.vm.errors(), f'the guest was refused: {self.vm.errors()[:5]}'
        assert_live(self.vm.qmp, limit=1)
        self.judge_graph()
        self.judge_store()
        self.judge_frozen()

    def judge_frozen(self):
        """No layer has changed since it was frozen."""
        for layer, (inode, _, size, mtime) in self.frozen.items():
            stat = os.stat(layer)
            assert (inode, size, mtime) == (stat.st_ino, stat.st_size, stat.st_mtime_ns), (
                f'{layer} has changed since it was frozen')

    def judge_graph(self):
        now = assert_graph(self.vm.qmp)
        used = set()
        for index, image in enumerate(self.paths):
            device = f'disk{self.vm.disks.index(self.vm.written[index])}'
            files = now.chains[device if self.has_ids() else self.device(device)['qdev']]
            layers = chain(image, self.qemu)
            assert [os.stat(file).st_ino for file in files] == \
                [os.stat(layer.path).st_ino for layer in layers], (
                f'{device} uses {files}, a start from {image[0]} would use {layers}')
            if index in self.renamed:
                assert image[0] not in files, f'QEMU calls a layer {image[0]}: {files}'
            used |= {os.path.realpath(file) for file in files} | {os.path.realpath(image[0]), image[0]}
        self.judge_files(used)

    def judge_files(self, used):
        """No file is there but those that were there at first, and those that are `used`."""
        known = {entry[0] for entry in self._known_files.values()}
        known |= {os.stat(path).st_ino for path in used}
        used = used | set(self._known_files)
        for path, entry in self._files().items():
            assert entry[0] in known, f'stray file {path}'
            assert path in used or self.restarted, f'stray name {path}'
        for path in self._known_files:
            assert os.path.lexists(path), f'{path} is gone'

    def judge_store(self):
        images = self.daemon.get('/v1/images').json['images']
        assert {image['id'] for image in images} == self.images, 'stray or missing images'
        assert all(image['status'] == 'active' for image in images), images
        names = {f"{image['id']}.{end}" for image in images for end in ('json', image['disk_format'])}
        assert set(os.listdir(self.store)) == names, 'stray or missing files in the store'

    def end(self):
        """Ends both, the guest as by a power cut: NAME, and DATA of what is left."""
        self.vm.kill()
        self.judge_name()
        self.daemon.stop()

    def acked(self):
        """The last record that the guest was told is durable."""
        return self.vm.acked()

    def judge_name(self):
        """Whoever starts the dead guest's disks by their own names misses nothing."""
        assert_name(self.paths, self.acked(), self.qemu)
        for image in self.paths:
            try:
                check(image, qemu=self.qemu)
            except AssertionError as error:     # a power cut in mid-write may cost a cluster, no more
                if 'Leaked cluster' not in str(error) or 'ERROR' in str(error):
                    raise

    def restart(self):
        """The guest's process dies and is started again from the disks' own paths."""
        self.vm.kill()
        self.judge_name()
        self.restarted = True
        self.renamed.clear()
        for disk, (path, fmt) in zip(self.vm.written, self.paths):
            if path != str(disk.path):
                disk.path, disk.driver = path, 'file'
            disk.format = fmt
        self.vm.start()
        self.vm.wait_for_writes(20)
        self.wait_attached()

    def wait_attached(self):
        """Waits until the daemon has found the guest's process as it is now."""
        def found():
            guest = self.daemon.get(f'/v1/guests/{self.guest}').json
            return (guest['state'], guest['pid']) == ('attached', self.vm.pid)
        wait_until(found, 'the guest is attached', interval=0.02)
