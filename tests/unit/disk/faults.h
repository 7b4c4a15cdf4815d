/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Makes system calls of the tested code fail. They come here by the linker's --wrap. */

#include <glib.h>

G_BEGIN_DECLS

/* The @nth call (from 1) fails with @number; only calls of @name count when it is given. */
void        faults_arm    (const char *name, guint nth, int number);
/* Back to normal; tells whether the fault was met, and by which call. */
const char *faults_disarm (void);

/* Whether all calls of that name fail from the @nth on. */
void        faults_set_lasting (gboolean lasting);

/* Whether the file system is one without files that have no name (O_TMPFILE), as NFS is. */
void        faults_set_no_unnamed (gboolean no_unnamed);

G_END_DECLS
