/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "backup.h"

G_BEGIN_DECLS

/* Ends QEMU's jobs @ids, those that there are: cancelled, waited for, dismissed. @step (transfer
 * full) is returned then. */
void point_jobs_end (GTask *step, Backup *job, char **ids);

G_END_DECLS
