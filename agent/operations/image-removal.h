/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <operations/operations.h>

G_BEGIN_DECLS

/* The open operation that writes the image or counts on it; NULL when there is none. */
Operation *image_removal_find_user (Operations *self, const char *id);

G_END_DECLS
