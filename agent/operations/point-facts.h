/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "quick-backup.h"

G_BEGIN_DECLS

void point_facts_judge (QuickBackup *job, GPtrArray *disks);
void point_facts_ask   (GTask *step, QuickBackup *job);

G_END_DECLS
