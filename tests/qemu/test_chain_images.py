# SPDX-License-Identifier: Apache-2.0
"""Layers are merged, and what their images hold is still known for what it is."""

from support.chains import one_disk
from support.oracles import compare
from support.scene import pairs


@pairs('kind', ('blockdev',), ('drive',), quick=[0])
def test_neighbours_are_merged_at_once(qemu, kind, chains, tmp_path):
    """0 <- 1 <- 2 <- 3 <- 4 becomes 0 <- 1+2 <- 3+4: what 3 showed is in its image alone."""
    with chains(qemu, one_disk(tmp_path, qemu), kind=kind) as s:
        kept, images = [], []
        for number in range(5):
            s.grow()
            if number in (1, 3):
                s.write(28, 14)         # so that the one above it is committed down
            kept.append(s.point(str(number), image='layer', keep=number in (0, 2)))
            images.append(s.told(kept[-1])['disks'][0]['image_id'])
        s.grow()
        operation = s.work('shorten', max_chain_length=4, gone=[kept[1], kept[3]])
        assert [move['kind'] for move in operation['result']['moves']] == ['commit', 'commit']
        s.judge()

        s.work('restore', image=images[3], discard=True)
        layer = s.disk('disk0')['layers'][1]
        compare((layer['path'], layer['format']), (kept[3].copies[0], 'raw'), s.qemu)
        s.at(kept[3], s.vm.mark())
