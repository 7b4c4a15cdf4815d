# SPDX-License-Identifier: Apache-2.0
"""What a process keeps in memory, in bytes."""

import re


def _read(pid, field):
    with open(f'/proc/{pid}/status', encoding='ascii') as file:
        return int(re.search(rf'^{field}:\s+(\d+) kB', file.read(), re.M)[1]) << 10


def resident(pid):
    return _read(pid, 'VmRSS')


class Peak:
    """For `with`: `grown` is by how much more the process ever had than at the beginning."""

    def __init__(self, pid):
        self.pid = pid

    def __enter__(self):
        with open(f'/proc/{self.pid}/clear_refs', 'w', encoding='ascii') as file:
            file.write('5')
        self.begin = resident(self.pid)
        return self

    def __exit__(self, *_):
        pass

    @property
    def grown(self):
        return _read(self.pid, 'VmHWM') - self.begin
