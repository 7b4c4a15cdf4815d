/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * GlanceError:
 * @GLANCE_ERROR_INVALID: the request, or the setting, is wrong in itself (also HTTP 400)
 * @GLANCE_ERROR_UNAUTHORIZED: no token, or none that is taken (401)
 * @GLANCE_ERROR_FORBIDDEN: not for the owner of this token (403)
 * @GLANCE_ERROR_NOT_FOUND: no such image (404, 410)
 * @GLANCE_ERROR_CONFLICT: the id belongs to another image, or the image is in use (409)
 * @GLANCE_ERROR_NO_SPACE: quota, size cap or the store behind it is full (413)
 * @GLANCE_ERROR_REFUSED: the bytes were looked at and not liked (415)
 * @GLANCE_ERROR_DEAD: the image is in a state out of which no upload leads; its id is used up
 * @GLANCE_ERROR_MISMATCH: the service holds other bytes than those sent
 * @GLANCE_ERROR_UNAVAILABLE: not reached, cut off, or 502 and 503
 * @GLANCE_ERROR_TIMEOUT: a deadline passed (also 504)
 * @GLANCE_ERROR_SERVER: any other failure of the service (500)
 * @GLANCE_ERROR_PROTOCOL: the answer is not one that Glance, or Keystone, gives
 * @GLANCE_ERROR_NO_ENDPOINT: the catalogue does not tell where the image service is
 */
typedef enum
{
  GLANCE_ERROR_INVALID,
  GLANCE_ERROR_UNAUTHORIZED,
  GLANCE_ERROR_FORBIDDEN,
  GLANCE_ERROR_NOT_FOUND,
  GLANCE_ERROR_CONFLICT,
  GLANCE_ERROR_NO_SPACE,
  GLANCE_ERROR_REFUSED,
  GLANCE_ERROR_DEAD,
  GLANCE_ERROR_MISMATCH,
  GLANCE_ERROR_UNAVAILABLE,
  GLANCE_ERROR_TIMEOUT,
  GLANCE_ERROR_SERVER,
  GLANCE_ERROR_PROTOCOL,
  GLANCE_ERROR_NO_ENDPOINT,
} GlanceError;

#define GLANCE_ERROR (glance_error_quark ())
GQuark      glance_error_quark          (void);

/* What the service said with it; 0 or NULL where it said nothing. */
guint       glance_error_get_status     (const GError *error);
const char *glance_error_get_text       (const GError *error);
const char *glance_error_get_request_id (const GError *error);

G_END_DECLS
