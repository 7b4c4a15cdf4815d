/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <operations/operations.h>

G_BEGIN_DECLS

/* Images that failed operations have left in the store, because it could not be asked to delete
 * them. They are in the journal, and go when it can. */

typedef struct _UnwantedImages UnwantedImages;

/* @operations: (unowned): outlive it. Begins with what the journal has. */
UnwantedImages *unwanted_images_new  (Operations *operations);
void            unwanted_images_free (UnwantedImages *self);

/* From now on @image is to be deleted, which @operation has made; @why: (nullable): it could not be
 * done yet. The journal forgets at once what the image holds. */
gboolean        unwanted_images_add  (UnwantedImages *self, const char *image,
                                      const char *operation, const GError *why,
                                      GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* @image is whole, and stays. */
gboolean        unwanted_images_forget (Journal *journal, const char *image,
                                      GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* operations.c */
UnwantedImages *operations_get_unwanted_images (Operations *self);

G_END_DECLS
