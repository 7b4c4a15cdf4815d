/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Who we are to the image service. No provider at all means that nobody asks. */

#define GLANCE_TYPE_TOKEN (glance_token_get_type ())
G_DECLARE_INTERFACE (GlanceToken, glance_token, GLANCE, TOKEN, GObject)

struct _GlanceTokenInterface
{
  GTypeInterface parent;
  /* Called from any thread, several at once. */
  char *(*get) (GlanceToken *self, const char *refused, GCancellable *cancellable, GError **error);
  char *(*get_endpoint) (GlanceToken *self, GCancellable *cancellable,
                         GError **error);       /* (nullable) */
};

char        *glance_token_get      (GlanceToken *self, const char *refused,
                                    GCancellable *cancellable,
                                    GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Where the image service is, for providers that know. */
char        *glance_token_get_endpoint (GlanceToken *self, GCancellable *cancellable,
                                    GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* A token that somebody else writes into a file, and renews there. */
GlanceToken *glance_token_file_new (const char *path);

G_END_DECLS
