# SPDX-License-Identifier: Apache-2.0
"""Full images of a Scene's guest, and what they must be; the disks as before when all is done."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess

from . import bootsector, programs
from .machine import wait_until
from .oracles import assert_prefix, chain, check, compare, graph, records
from .qmp import QmpError
from .scene import Scene, digest, size_of

SMALL = 1 << 30     # up to this size what lies behind the records is compared too
LIMITS = ('bps', 'bps_rd', 'bps_wr', 'iops', 'iops_rd', 'iops_wr')


def qemu_io(command, path, qemu=None, fmt='qcow2'):
    """Changes an image that no guest runs on."""
    qemu = qemu or programs.default()
    program = pathlib.Path(shutil.which(qemu.img)).with_name('qemu-io')
    done = subprocess.run([program, '-f', fmt, '-c', command, path], env=qemu.env, text=True,
                          capture_output=True)
    assert done.returncode == 0 and ' bytes at offset ' in done.stdout, done.stdout + done.stderr


def children(pid):
    """The processes that a process has started: pid -> name."""
    found = {}
    for task in pathlib.Path(f'/proc/{pid}/task').iterdir():
        with contextlib.suppress(FileNotFoundError):
            for child in (task / 'children').read_text().split():
                found[int(child)] = pathlib.Path(f'/proc/{child}/comm').read_text().strip()
    return found


class ImageScene(Scene):
    """A Scene that knows full images too.

    full()      makes images, judges them, and sees that all is as it was
    note()      what the disks are now is what they must be afterwards
    readers()   the processes of the daemon's that read a disk
    """

    def __init__(self, folder, *arguments, **options):
        super().__init__(folder, *arguments, **options)
        self.own = self.folder / 'oracle'
        self.own.mkdir()
        self.behind = [self._copy(index) for index in range(len(self.paths))]

    def __enter__(self):
        super().__enter__()
        self.note()
        return self

    # What a disk was before

    def _copy(self, index):
        """A copy of a disk's data, to know later what is behind the records; None of a big one."""
        path, fmt = self.paths[index]
        if chain((path, fmt), self.qemu)[0].size > SMALL:
            return None
        copy = self.own / f'before-{index}'
        programs.img('convert', '-f', fmt, '-O', 'raw', path, copy, qemu=self.qemu)
        return copy

    def compare_behind(self, index, image):
        """Behind the records an image holds what the disk held at first."""
        copy = self.behind[index]
        if not copy:
            return
        with open(copy, 'r+b') as file, open(self.own / 'head', 'w+b') as head:
            path, fmt = image
            programs.img('dd', '-U', '-f', fmt, '-O', 'raw', f'bs={bootsector.HEAD}', 'count=1',
                         f'if={path}', f'of={head.name}', qemu=self.qemu)
            file.write(head.read().ljust(bootsector.HEAD, b'\0'))
        compare(image, (copy, 'raw'), self.qemu)

    def devices(self):
        """Each device as a guest and its owner see it; files by their inodes."""
        chains = {device: [os.stat(file).st_ino for file in files]
                  for device, files in graph(self.vm.qmp).chains.items()}
        if not hasattr(self.vm, 'kind'):
            return chains
        settings = {}
        for block in self.vm.qmp.execute('query-block'):
            device = (block.get('qdev') or block['device']).split('/')
            inserted = block.get('inserted')
            settings['/'.join(device[3:4] or device)] = inserted and {
                'ro': inserted['ro'], 'detect_zeroes': inserted['detect_zeroes'],
                'cache': inserted['cache'], 'driver': inserted['drv'],
                'size': inserted['image']['virtual-size'],
                **{name: inserted[name] for name in LIMITS}}
        return chains, settings

    def note(self):
        self.before = self.devices()
        self.named = {path: os.stat(path).st_ino for path, _ in self.paths}

    def assert_as_before(self):
        """Disks, chains, names, processes; what may be left is a name for life."""
        assert self.devices() == self.before, 'the disks are not as before'
        assert {path: os.stat(path).st_ino for path, _ in self.paths} == self.named
        self.assert_nothing_reads()
        assert not self.vm.errors()

    def readers(self):
        return [pid for pid, name in children(self.daemon.pid).items()
                if name.startswith('qemu-storage')]

    def assert_nothing_reads(self):
        assert not self.readers(), 'a process of ours was left'
        left = [name for name in os.listdir(self.daemon.folder / 'state') if 'read-' in name]
        assert not left, f'sockets were left: {left}'

    # Asking

    def ask_image(self, headers=None, **members):
        """Asks for a full image; the answer as it is."""
        return self.daemon.post(f'/v1/guests/{self.guest}/images', members, headers=headers)

    def begin_image(self, **members):
        answer = self.ask_image(**members)
        assert answer.status == 202, answer.body
        return answer.json

    def full(self, timeout=120, **members):
        """Makes images, which must succeed, of disks that are as before when it is done."""
        before = self.vm.acked()
        operation = self.begin_image(**members)
        operation = self.daemon.finished(operation, timeout)
        self.judge_full(operation, before, self.vm.acked())
        self.assert_as_before()
        return operation

    def refused_image(self, status, code, *words, **members):
        """A request for an image that must be refused with these words, nothing touched."""
        before = self.state()
        answer = self.ask_image(**members)
        assert answer.status == status, answer.body
        assert answer.error['code'] == code, answer.body
        for word in words:
            assert word in answer.error['message'], answer.error
        assert self.state() == before, 'it was refused, and something has changed'
        return answer.error

    # Judging

    def judge_full(self, operation, before, after, folded=True):
        """An operation that must have made whole images, all of one point, and have folded back."""
        assert operation['state'] == 'succeeded', json.dumps(operation, indent=1)
        assert operation['error'] is None
        fmt = operation['request'].get('format', 'qcow2')
        images = {}
        for disk in operation['result']['disks']:
            index = self.index_of(disk)
            images[index] = (self.data(disk['image_id']), fmt)
            self.images.add(disk['image_id'])
            self.judge_full_image(operation, disk['image_id'], index, fmt)
            if folded:
                self.judge_folded(disk)
        assert {image['id'] for image in operation['result']['images']} == \
            {disk['image_id'] for disk in operation['result']['disks']}
        if len(images) == len(self.paths):
            point = assert_prefix([image for _, image in sorted(images.items())], self.qemu)
            assert before <= point <= after + 1, f'the point, {point}, is not in {before}..{after}'
        return images

    def judge_folded(self, disk):
        assert disk['folded'] is True, disk
        assert not {'kept', 'overlay'} & disk.keys(), disk
        index = self.index_of(disk)
        if not pathlib.Path(self.paths[index][0]).is_block_device():
            self.renamed.add(index)

    def judge_full_image(self, operation, image_id, index, fmt):
        """Its record, and its data: standing alone, clean, one point, and nothing else lost."""
        record, path = self.image(image_id), self.data(image_id)
        properties = record['properties']
        assert (record['status'], record['disk_format'], record['hidden']) == ('active', fmt, False)
        assert record['size'] == size_of(path)
        assert record['sha512'] == digest(path) and record['md5'] == digest(path, 'md5')
        assert properties['qsnapd_kind'] == 'full' and properties['qsnapd_point'] == operation['id']
        assert not {'qsnapd_parent', 'qsnapd_chain'} & properties.keys()
        assert [properties[f'image_{name}'] for name in ('type', 'location', 'state')] == \
            ['snapshot', 'snapshot', 'available']
        layer, = chain((path, fmt), self.qemu)
        assert properties['qsnapd_virtual_size'] == str(layer.size)
        assert record['min_disk'] == -(-layer.size >> 30)
        check((path, fmt), qemu=self.qemu)
        found = records((path, fmt), len(self.paths), index, self.qemu)
        last = max(found.values(), default=0)
        assert found == bootsector.state(last, len(self.paths))[index], f'{path} is not one point'
        self.compare_behind(index, (path, fmt))

    def judge_nothing_made(self, operation):
        """An operation that has ended badly has left no image and no overlay; all is as before."""
        assert operation['state'] in ('failed', 'cancelled'), operation
        assert operation['error'], operation
        assert not operation['result'].get('images'), operation['result']
        for disk in operation['result'].get('disks', ()):
            assert 'image_id' not in disk
            self.judge_folded(disk)
        self.forget_images(operation)
        self.assert_as_before()

    def forget_images(self, operation):
        images = self.daemon.get('/v1/images').json['images']
        left = [image for image in images
                if image['properties'].get('qsnapd_point') == operation['id']]
        assert not left, 'an image was left'
        self.images = {image['id'] for image in images}

    def judge_kept(self, operation, *words, begun=False):
        """Disks whose overlays have stayed are told with why; those disks.

        begun   QEMU may have begun to fold them back: their layers need be no points any more
        """
        points = self.daemon.get(f'/v1/guests/{self.guest}/snapshots').json['snapshots']
        recorded = {disk['disk']: disk for point in points if point['id'] == operation['id']
                    for disk in point['disks']}
        kept = [disk for disk in operation['result']['disks'] if not disk['folded']]
        names = {disk['disk'] for disk in kept}
        assert set(recorded) <= names and (begun or set(recorded) == names), recorded
        for disk in kept:
            for word in words:
                assert word in disk['kept'], disk['kept']
            assert os.path.samefile(disk['path'], disk['overlay'])
            index = self.index_of(disk)
            self.renamed.add(index)
            self.paths[index] = (disk['path'], 'qcow2')
            if disk['disk'] in recorded:
                self._judge_point_of(operation, disk, recorded[disk['disk']])
        self.assert_nothing_reads()
        return kept

    def _judge_point_of(self, operation, disk, recorded):
        """What is told as a point is one, and the very one that its image holds."""
        assert recorded['image_id'] == disk.get('image_id'), recorded
        assert recorded['layer'] == disk['layer']
        fmt = chain(disk['overlay'], self.qemu)[0].backing_format
        self.judge_layer(self.index_of(disk), disk['layer'], fmt)
        if operation['state'] == 'succeeded':
            compare((disk['layer'], fmt), (self.data(disk['image_id']),
                                           operation['request'].get('format', 'qcow2')), self.qemu)

    # Holding an operation up

    def fill(self, device='disk0', size=48, pattern=7, at=4):
        """Writes MiB behind the records, as the guest would, to the layer that is active."""
        self.behind = [None] * len(self.paths)
        answer = self.as_guest(f'write -P {pattern} {at}M {size}M', device)
        assert not answer or 'ops' in answer, answer

    def wait_reader(self):
        return wait_until(self.readers, 'a process reads the disk', interval=0.002)[0]

    @contextlib.contextmanager
    def held_upload(self, size=48, **members):
        """An image with much to send, held in its upload while the block runs; the operation."""
        self.fill(size=size)
        operation = self.begin_image(**members)
        path = f"/v1/operations/{operation['id']}"
        wait_until(lambda: self.daemon.get(path).json['step'] == 'upload', 'it comes to upload')
        self._held, *_ = self.readers()
        os.kill(self._held, signal.SIGSTOP)
        try:
            yield operation
        finally:
            self.release()

    def release(self):
        """A held upload goes on."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._held, signal.SIGCONT)

    def held_fold(self, devices=('disk0',), **members):
        """An image whose overlays go back slowly; the operation, and the jobs' ids."""
        with self.held_upload(**members) as operation:
            for device in devices:
                self.fill(device, pattern=9)
        return operation, [self.slow_fold(operation, index) for index in range(len(devices))]

    @staticmethod
    def fold_job(operation, index=0):
        """The id of the job that folds the overlay of one of an operation's disks back."""
        return f"qsnap-{operation['id'].replace('-', '')[:12]}-{index}-fold"

    def slow_fold(self, operation, index=0, speed=1):
        """As soon as it begins it hardly moves any more, but for its first 16 MiB; the job's id."""
        job = self.fold_job(operation, index)
        self.vm.qmp.execute_once_it_can('block-job-set-speed', {'device': job, 'speed': speed})
        return job

    def hasten(self, job):
        with contextlib.suppress(QmpError):
            self.vm.qmp.execute('block-job-set-speed', device=job, speed=0)

    def limits(self, device='disk0'):
        """What its device is limited to, where it is."""
        return {name: value for name, value in self.devices()[1][device].items()
                if name in LIMITS and value}


@contextlib.contextmanager
def small_filesystem(folder, size):
    """A filesystem with room for `size`; skips where none can be mounted."""
    import pytest
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={size}', 'none', folder],
                          capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f'nothing can be mounted here: {done.stderr.strip()}')
    try:
        yield folder
    finally:
        subprocess.run(['umount', '-l', folder], check=True)
