/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

guint64  process_get_start_time (GPid pid);
gboolean process_is_alive       (GPid pid, guint64 start_time);
gboolean process_is_qemu        (GPid pid);
char    *process_dup_folder     (GPid pid, guint64 start_time);

G_END_DECLS
