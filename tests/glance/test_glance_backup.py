# SPDX-License-Identifier: Apache-2.0
"""Backups of running guests into a real image service."""

import os
import time

import pytest

from support import create_qcow2, create_raw
from support.glance import Glance
from support.glance_scene import TOKEN, GlanceScene
from support.machine import wait_until
from support.scene import pairs

ROUND = 1100        # records, after which a layer has all that the guest writes to


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


@pytest.mark.slow
@pairs('kind', ('blockdev',))
def test_glance_does_not_come_back(qemu, kind, glance, tmp_path):
    """The disks do not wait for it: the operation ends, the point stays, and what is left in Glance goes
    when it is back."""
    create_raw(tmp_path / 'base', '8G', qemu=qemu)
    disk = create_qcow2(tmp_path / 'x', '64M', backing='base', backing_format='raw', qemu=qemu)
    with GlanceScene(glance, tmp_path, qemu, [disk], kind=kind) as s:
        before = s.vm.acked()
        operation = s.begin()
        s.wait_step(operation, 'upload')
        glance.kill()
        for path in glance.store.iterdir():     # what a Glance that dies leaves behind is Glance's
            path.unlink()
        operation = s.daemon.finished(operation)
        assert operation['state'] == 'failed'
        assert operation['error']['code'] == 'unavailable', operation['error']
        assert operation['error']['message'].startswith('upload')
        left = operation['result']['left_images']
        s.judge_layers(operation, before, s.vm.acked())
        s.backup(image='none')
        glance.start()
        assert set(left) == set(s.all())
        s.wait_deleted(60)
        s.judge()
        s.vm.wait_for_writes(ROUND, timeout=120)
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
        s.vm.wait_for_writes(ROUND, timeout=120)
        s.compare_restored(s.backup(parents='ignore'))
