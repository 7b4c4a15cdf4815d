/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* A file keeps its inode over a start of the host; its device may get another number. */

/* (transfer full) (nullable): the host's start since which the numbers of now hold. */
char    *device_number_dup_boot (void);
/* Whether the numbers still hold that were written down at @boot. */
gboolean device_number_holds    (const char *boot);
/* Sets @dev to what it is now if @path still names the file (@ino, @born_ns). A @path of NULL and
 * an @ino of 0 name none; a @born_ns of 0 is not known. It blocks. */
void     device_number_renew    (gint64 *dev, const char *path, gint64 ino, gint64 born_ns);

G_END_DECLS
