/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* What a list of servers is to have: the parameters of the request, checked. No I/O, no guests. */
typedef struct _NovaFilter NovaFilter;

#define NOVA_LIMIT_MAX 1000     /* servers on a page */

/* @query: (nullable). AGENT_ERROR_INVALID */
NovaFilter *nova_filter_new        (GHashTable *query, GError **error) G_GNUC_WARN_UNUSED_RESULT;
void        nova_filter_free       (NovaFilter *self);

/* AGENT_ERROR_INVALID when the expression takes too long. */
gboolean    nova_filter_matches    (const NovaFilter *self, const char *name, const char *status,
                                    gboolean *is_match, GError **error) G_GNUC_WARN_UNUSED_RESULT;
guint       nova_filter_get_limit  (const NovaFilter *self);
const char *nova_filter_get_marker (const NovaFilter *self);    /* (nullable) */

G_DEFINE_AUTOPTR_CLEANUP_FUNC (NovaFilter, nova_filter_free)

G_END_DECLS
