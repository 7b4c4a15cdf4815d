/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <core/operation.h>
#include <qmp/qmp.h>

G_BEGIN_DECLS

/* What was asked of an operation while it ran, for jobs that it begins later. */

/* Bytes a second; @planned where nothing was asked. 0: as fast as it goes. */
gint64   control_speed     (Operation *operation, gint64 planned);
gboolean control_is_paused (Operation *operation);
/* Behind the command that begins @job: lets it wait if the operation is to. */
void     control_add_pause (QmpBatch *batch, Operation *operation, const char *job);

G_END_DECLS
