# SPDX-License-Identifier: Apache-2.0
"""Backups of running guests into a real image service."""

import hashlib
import os
import time

import pytest

from support import create_qcow2, create_raw
from support.glance import Glance
from support.machine import wait_until
from support.scene import Scene, pairs

TOKEN = 'somebody:demo:member'


class GlanceScene(Scene):
    """Asks Glance itself where the folder's Scene looks at files."""

    def __init__(self, glance, folder, *arguments, daemon=None, **options):
        self.glance = glance
        token = folder / 'token'
        token.write_text(TOKEN + '\n')
        token.chmod(0o600)
        super().__init__(folder, *arguments, daemon={
            'store.kind': 'glance', 'glance.url': glance.url, 'glance.token-file': str(token),
            'glance.timeout': '5s', **(daemon or {})}, **options)

    def record(self, image_id):
        status, record = self.glance.call('GET', f'/v2/images/{image_id}', token=TOKEN)
        assert status == 200, record
        return record

    def all(self):
        """What Glance has, hidden or not."""
        found = []
        for hidden in 'false', 'true':
            status, answer = self.glance.call(
                'GET', f'/v2/images?os_hidden={hidden}&limit=1000', token=TOKEN)
            assert status == 200, answer
            found += answer['images']
        return {image['id']: image for image in found}

    def data(self, image_id):
        """The bytes, downloaded."""
        path = self.folder / 'downloads' / image_id
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            status, content = self.glance.call('GET', f'/v2/images/{image_id}/file', token=TOKEN)
            assert status == 200, content
            path.write_bytes(content)
            record = self.record(image_id)
            assert (record['status'], record['size']) == ('active', len(content))
            assert record['os_hash_algo'] == 'sha512'
            assert record['os_hash_value'] == hashlib.sha512(content).hexdigest()
            assert record['checksum'] == hashlib.md5(content).hexdigest()
            assert record['os_hidden'] == self.image(image_id)['hidden']
            assert record['container_format'] == 'bare'
        return path

    def judge_store(self):
        images = self.all()
        assert set(images) == self.images, 'stray or missing images'
        assert {image['status'] for image in images.values()} <= {'active'}
        kept = {path.name for path in self.glance.store.iterdir()}
        assert kept == self.images, 'stray or missing files of Glance'


@pytest.fixture(scope='module')
def one_glance():
    with Glance('fakeauth') as running:
        yield running


@pytest.fixture
def glance(one_glance):
    """Without images."""
    yield one_glance
    for hidden in 'false', 'true':
        _, answer = one_glance.call('GET', f'/v2/images?os_hidden={hidden}&limit=1000', token=TOKEN)
        for image in answer['images']:
            one_glance.call('DELETE', f"/v2/images/{image['id']}", token=TOKEN)


@pairs('kind', ('drive',), ('blockdev',))
def test_layers_go_to_glance(qemu, kind, glance, tmp_path):
    create_raw(tmp_path / 'base', content=os.urandom(1 << 20), qemu=qemu)
    disks = [create_qcow2(tmp_path / 'x', '64M', backing='base', backing_format='raw', qemu=qemu),
             create_qcow2(tmp_path / 'y', qemu=qemu)]
    with GlanceScene(glance, tmp_path, qemu, disks, kind=kind) as s:
        for number in range(2):
            operation = s.backup(name=f'point {number}', metadata={'who': 'grüße'})
            assert len(operation['result']['images']) == (3, 2)[number]
            for disk in operation['result']['disks']:
                record = s.record(disk['image_id'])
                assert record['name'] == f"point {number}/{disk['disk']}"
                assert record['who'] == 'grüße' and record['image_type'] == 'snapshot'
                assert record['qsnapd_point'] == operation['id']
                assert record['disk_format'] == 'qcow2'
                assert record['os_hidden'] == (number > 0 or disk['layer'].endswith('x.0'))
            s.compare_restored(operation)
            s.judge()
        base = next(image for image in s.all().values() if image['disk_format'] == 'raw')
        assert not base['os_hidden']
        children = [image for image in s.all().values() if image.get('qsnapd_parent') == base['id']]
        assert len(children) == 1
        assert s.daemon.delete(f"/v1/images/{base['id']}").status == 409


@pairs('kind', ('blockdev',))
def test_glance_dies_in_mid_upload(qemu, kind, glance, tmp_path):
    """Nothing of it is left once Glance is back, and the point stays."""
    create_raw(tmp_path / 'base', '8G', qemu=qemu)
    disk = create_qcow2(tmp_path / 'x', '64M', backing='base', backing_format='raw', qemu=qemu)
    with GlanceScene(glance, tmp_path, qemu, [disk], kind=kind) as s:
        before = s.vm.acked()
        operation = s.begin()
        s.wait_step(operation, 'upload')
        glance.kill()
        for path in glance.store.iterdir():     # what a Glance that dies leaves behind is Glance's
            path.unlink()
        wait_until(lambda: s.daemon.get(f"/v1/operations/{operation['id']}").json['error'],
                   'it says that something is wrong', timeout=60)
        s.vm.wait_for_writes(20)
        glance.start()
        operation = s.daemon.finished(operation)
        assert operation['state'] == 'failed'
        assert operation['error']['code'] in ('unavailable', 'store', 'timeout')
        assert operation['error']['message'].startswith('upload')
        s.judge_layers(operation, before, s.vm.acked())
        s.judge()
        s.compare_restored(s.backup(parents='ignore'))


@pairs('kind', ('drive',))
def test_no_glance_no_backup(qemu, kind, glance, tmp_path):
    """It has been away before anything is touched; or it does not let us in."""
    with GlanceScene(glance, tmp_path, qemu, kind=kind) as s:
        s.backup()
        before = s.state()
        glance.stop()
        assert s.ask().status == 503
        glance.start()
        glance.expire()
        answer = s.ask()
        assert answer.status == 502 and answer.error['code'] == 'store', answer.body
        glance.renew()
        assert s.state() == before
        s.backup(image='none')
        s.backup()


@pairs('kind', ('blockdev',))
def test_cancelled_on_its_way_to_glance(qemu, kind, glance, tmp_path):
    create_raw(tmp_path / 'base', '8G', qemu=qemu)
    disk = create_qcow2(tmp_path / 'x', '64M', backing='base', backing_format='raw', qemu=qemu)
    with GlanceScene(glance, tmp_path, qemu, [disk], kind=kind) as s:
        before = s.vm.acked()
        operation = s.begin()
        s.wait_step(operation, 'upload')
        begun = time.monotonic()
        assert s.daemon.delete(f"/v1/operations/{operation['id']}").status in (200, 202, 204)
        operation = s.daemon.finished(operation)
        assert time.monotonic() - begun < 20
        assert operation['state'] == 'cancelled'
        wait_until(lambda: not list(glance.store.iterdir()), 'Glance has cleaned up', timeout=30)
        s.judge_layers(operation, before, s.vm.acked())
        s.judge()
        s.compare_restored(s.backup(parents='ignore'))
