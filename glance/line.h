/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <curl/curl.h>
#include <glib.h>

/* A connection that is kept for the next exchange, and the socket it is, which curl does not tell
 * while it is in use. */
typedef struct
{
  CURLM  *multi;
  GArray *sockets;              /* open ones: two while an address of each family is tried */
} Line;

Line     *line_new         (void);
void      line_free        (Line *self);

/* @easy will use the line; once for each exchange. */
void      line_attach      (Line *self, CURL *easy);
/* Whether the other side has sent something that was not read yet, or closed. */
gboolean  line_is_readable (Line *self);
