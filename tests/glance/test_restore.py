# SPDX-License-Identifier: Apache-2.0
"""Points that are gone here come back from a real Glance, layer by layer."""

import os

from support import create_qcow2, create_raw
from support.chains import ChainScene
from support.glance_scene import GlanceScene
from support.oracles import compare
from support.scene import pairs

from test_glance_backup import glance, one_glance     # fixtures: a Glance without images


class GlanceChains(GlanceScene, ChainScene):
    """Chains whose images are in Glance."""


@pairs('kind', ('blockdev',), ('drive',), quick=[0])
def test_a_chain_that_was_deleted(qemu, kind, glance, tmp_path):
    create_raw(tmp_path / 'base', '2M', os.urandom(1 << 20), qemu=qemu)
    (tmp_path / 'a').mkdir()
    disk = create_qcow2(tmp_path / 'a/disk', '64M', backing=str(tmp_path / 'base'),
                        backing_format='raw', qemu=qemu)
    with GlanceChains(glance, tmp_path, qemu, [disk], kind=kind) as s:
        points, images = [], []
        for number in range(3):
            s.grow()
            points.append(s.point(f'grüße {number}', image='layer'))
            image, = {disk['image_id'] for disk in s.told(points[-1])['disks']}
            images.append(image)
        s.grow()
        for kept in points:
            s.delete(kept)
        assert len(s.layers()) == 2 and not s.listed()
        for place in 2, 0:
            mark = s.vm.mark()
            operation = s.work('restore', image=images[place])
            s.keep_new()
            s.at(points[place], mark)
            # Under the overlay that the guest writes to from now on.
            compare((s.layers()[-2], 'qcow2'), (points[place].copies[0], 'raw'), qemu)
            assert operation['result']['disks'], operation['result']
            s.judge()
            s.grow()
        s.point('afterwards', image='layer')
        s.judge()
