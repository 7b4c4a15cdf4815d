# SPDX-License-Identifier: Apache-2.0
"""What an operation has done is durable before anybody relies on it, in each of them."""

import copy
import itertools
import os

from support.chains import ChainScene, one_disk
from support.scene import pairs, two_disks

from durable import Order
from operations import WORKS
from shim import Shim

KINDS = [('drive', 1), ('blockdev', 2), ('drive', 2), ('blockdev', 1)]
ROWS = [(kind, what, WORKS[what].disks or disks)
        for what, (kind, disks) in itertools.product(WORKS, KINDS)]


@pairs('kind, what, disks', *ROWS, quick=[4 * place + place % 4 for place in range(len(WORKS))])
def test_order(qemu, kind, what, disks, tmp_path):
    made = one_disk(tmp_path, qemu) if disks == 1 else two_disks(tmp_path, qemu)
    scene = ChainScene(tmp_path, qemu, made, kind=kind)
    shim = Shim(scene)
    with scene as s:
        work = WORKS[what](s)
        work.prepare()
        order = Order(s.daemon.folder / 'state', [path for path, _ in s.paths])
        mark = shim.mark()
        operation = s.daemon.finished(work.ask().json)
        calls = shim.since(mark)
        assert work.settle(operation), operation
        assert not (wrong := copy.deepcopy(order).judge(calls)), '\n'.join(wrong)
        judge_oracle(order, calls)


def judge_oracle(order, calls):
    """Without the calls that make things durable, or that tell the journal, it is not content."""
    def without(omit):
        return copy.deepcopy(order).judge([call for call in calls if not omit(call)])
    made = {call.name for call in calls if call.kind == 'file'
            and os.path.dirname(call.other or call.path) in order.folders}
    if made & {'create', 'link', 'rename', 'unlink'}:
        assert without(lambda call: call.kind == 'file' and call.name == 'sync')
    if 'create' in made:
        assert without(lambda call: call.kind == 'journal')
    after = copy.deepcopy(order)
    gone = [after.names.get(call.path) for call in calls if call.name == 'unlink']
    after.judge(calls)
    if any(after.above.get(file) in after.names.values() for file in gone):
        wrong = without(lambda call: call.kind == 'file' and call.name == 'sync')
        assert any('the header of' in each for each in wrong), wrong
