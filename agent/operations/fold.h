/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "backup.h"

G_BEGIN_DECLS

/* Folding an overlay back into the layer below it: the pivots of a full image. */

/* Whether there is something to be folded back. */
gboolean fold_is_due  (Backup *job);
/* Makes what there is to know of its pivots known. */
void     fold_prepare (Backup *job);

G_END_DECLS
