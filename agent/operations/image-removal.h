/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <operations/operations.h>

G_BEGIN_DECLS

/* What is about to be deleted must not become anybody's parent: from here on an image counts as
 * gone, and again as there once the store has said that it will not delete it. */
void       image_removal_begin     (Operations *self, const char *id);
void       image_removal_end       (Operations *self, const char *id, const GError *error);
gboolean   image_removal_has_begun (Operations *self, const char *id);

/* The open operation that writes the image, reads it, or counts on it; NULL when there is none. */
Operation *image_removal_find_user (Operations *self, const char *id);

G_END_DECLS
