# SPDX-License-Identifier: Apache-2.0
"""Operations that are cancelled, at any moment: all of the point stays, or nothing of it."""

import random
import time

from support import create_qcow2, create_raw
from support.scene import pairs


def cancel(s, operation):
    answer = s.daemon.delete(f"/v1/operations/{operation['id']}")
    assert answer.status in (200, 202, 204, 409), answer.body
    return s.daemon.finished(operation)


def judge_cancelled(s, operation, before):
    """No image of a cancelled point is left; parents that were whole may be."""
    images = s.daemon.get('/v1/images').json['images']
    assert not [image for image in images if image['properties'].get('qsnapd_point') == operation['id']]
    s.images = {image['id'] for image in images}
    points = s.daemon.get(f'/v1/guests/{s.guest}/snapshots').json['snapshots']
    point = [point for point in points if point['id'] == operation['id']]
    assert bool(point) == ('disks' in operation['result']), 'the point is there, or it is not'
    if point:
        assert all(disk['image_id'] is None for disk in point[0]['disks'])
        assert not any('image_id' in disk for disk in operation['result']['disks']), operation['result']
        s.judge_layers(operation, before, s.vm.acked())


@pairs('kind, interface',
       ('drive', 'virtio'), ('blockdev', 'scsi'), ('blockdev', 'virtio'), ('drive', 'scsi'))
def test_cancelled_at_any_moment(qemu, kind, interface, scene):
    moments = random.Random(f'{qemu} {kind}')
    with scene(qemu, kind=kind, interface=interface) as s:
        seen = []
        for round_ in range(8):
            before = s.vm.acked()
            operation = s.begin(name=str(round_))
            time.sleep(moments.uniform(0, 0.25) * (round_ > 0))
            operation = cancel(s, operation)
            seen.append(operation['state'])
            if operation['state'] == 'succeeded':
                s.judge_point(operation, before, s.vm.acked())
            else:
                assert operation['state'] == 'cancelled', operation
                judge_cancelled(s, operation, before)
            assert s.vm.qmp.execute('query-status')['status'] == 'running'
            s.judge()
        assert 'cancelled' in seen
        s.compare_restored(s.backup())


@pairs('kind', ('drive',), ('blockdev',))
def test_cancelled_in_the_midst_of_an_upload(qemu, kind, scene, tmp_path):
    for name in 'xy':
        (tmp_path / name).mkdir()
    create_raw(tmp_path / 'y/base', '64G', qemu=qemu)
    create_raw(tmp_path / 'x/base', content=b'small', qemu=qemu)
    disks = [create_qcow2(tmp_path / name / 'disk', '64M', backing='base', backing_format='raw',
                          qemu=qemu) for name in 'xy']
    with scene(qemu, disks, kind=kind) as s:
        before = s.vm.acked()
        operation = s.begin()
        s.wait_step(operation, 'upload')
        time.sleep(0.2)
        begun = time.monotonic()
        operation = cancel(s, operation)
        assert time.monotonic() - begun < 10, 'it took long to hear of the cancel'
        assert operation['state'] == 'cancelled'
        assert operation['error']['code'] == 'cancelled'
        judge_cancelled(s, operation, before)
        assert cancel(s, operation) == operation, 'it was over'
        s.judge()
        operation = s.backup(disks=['disk0'])
        s.compare_restored(operation)
        s.backup(parents='ignore')
