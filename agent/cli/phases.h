/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* What a step of an operation is in people's words, such as "uploading". NULL for a step that is
 * not known here: a newer daemon may have some. */
const char *phase_of_step (const char *step);

G_END_DECLS
