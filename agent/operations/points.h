/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <core/journal.h>

#include "backup.h"

G_BEGIN_DECLS

/* The points that have been taken: rows of the journal. */

/* Writes down the point of @job, once however often it is asked. */
gboolean  points_record    (Journal *journal, Backup *job,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean  points_set_image (Journal *journal, const char *point, const char *disk,
                            const char *image_id, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* The points of @guest, oldest first, as REST shows them. */
JsonNode *points_to_json   (Journal *journal, const char *guest,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
