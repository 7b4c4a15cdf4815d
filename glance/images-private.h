/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glance/images.h>

#include "service.h"

Service *glance_images_get_service (GlanceImages *self);

/* "/v2/images/ID" with what follows; NULL and GLANCE_ERROR_INVALID when @id is no UUID. */
char    *glance_images_path        (const char *id, const char *rest, GError **error)
                                    G_GNUC_WARN_UNUSED_RESULT;
