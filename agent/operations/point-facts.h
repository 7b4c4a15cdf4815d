/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "backup.h"

G_BEGIN_DECLS

void point_facts_judge (Backup *job, GPtrArray *disks);
void point_facts_ask   (GTask *step, Backup *job);

G_END_DECLS
