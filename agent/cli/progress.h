/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/* How an operation gets on, on stderr: one line that is written anew on a terminal, a line for each
 * phase elsewhere. */
typedef struct _Progress Progress;

Progress *progress_new    (void);
/* Ends the line. */
void      progress_free   (Progress *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Progress, progress_free)

void      progress_show   (Progress *self, JsonObject *operation);

G_END_DECLS
