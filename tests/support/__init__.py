# SPDX-License-Identifier: Apache-2.0
"""What the scenarios with real peers stand on; README.md shows it by example."""

from .images import create_qcow2, create_raw
from .machine import Disk, Machine, StorageDaemon
from .programs import Qemu, qemus
from .qmp import Qmp, QmpError

__all__ = [
    'Disk', 'Machine', 'Qemu', 'Qmp', 'QmpError', 'StorageDaemon',
    'create_qcow2', 'create_raw', 'qemus',
]
