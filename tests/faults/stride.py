# SPDX-License-Identifier: Apache-2.0
"""Which of all that could go wrong a sweep tries."""

import os

STRIDE = int(os.environ.get('QSNAP_TEST_STRIDE', '1'))


def thinned(chance, all_of_them, rarer=1):
    """Each QSNAP_TEST_STRIDE-th of them, from one by lot on; `rarer`: so many times fewer still.

    Of few there is one.
    """
    stride = STRIDE * rarer
    return all_of_them[chance.randrange(max(1, min(stride, len(all_of_them))))::stride]
