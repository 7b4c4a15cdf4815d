/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A folder to work in, and small things that are done to files there. */

#include <disk/files.h>

G_BEGIN_DECLS

char      *scratch_new     (void) G_GNUC_WARN_UNUSED_RESULT;
void       scratch_remove  (char *folder);              /* takes @folder */
char      *scratch_write   (const char *folder, const char *name,
                            const char *text) G_GNUC_WARN_UNUSED_RESULT;
FileFacts  scratch_look    (const char *path);         /* of a link itself; ino 0: nothing there */
guint      scratch_count   (const char *folder);        /* names in it */

G_END_DECLS
