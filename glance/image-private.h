/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glance/image.h>
#include <json-glib/json-glib.h>

/* The body of a POST. GLANCE_ERROR_INVALID when the record cannot be one. */
GBytes      *glance_image_to_request (const GlanceImage *self, GError **error)
                                      G_GNUC_WARN_UNUSED_RESULT;
/* A record of the service; nothing in it is trusted. */
GlanceImage *glance_image_from_json  (JsonObject *object, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Whether @found is what a POST of @wanted makes. */
gboolean     glance_image_is_made_of (const GlanceImage *found, const GlanceImage *wanted);
