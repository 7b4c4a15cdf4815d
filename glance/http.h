/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>
#include <glance/body.h>
#include <glance/pipe.h>

/* One HTTP exchange at a time per thread, any number of threads. Connections are kept for the next
 * one. */

typedef struct _Http Http;

typedef struct
{
  const char *ca_file;          /* (nullable): PEM; otherwise the system's */
  guint       connect_ms;       /* until the connection stands */
  guint       stall_s;          /* without a byte; also for a whole request without a large body */
} HttpSettings;

typedef struct
{
  const char       *method;
  const char       *url;
  const char       *token;      /* (nullable): X-Auth-Token */
  const char       *subject_token; /* (nullable): X-Subject-Token */
  const char       *request_id; /* (nullable): X-Openstack-Request-Id */
  GBytes           *json;       /* (nullable): a small body */
  GlancePipe       *body;       /* (nullable): a large one, at its front */
  const GlanceSink *sink;       /* (nullable): what a 200 comes with goes there, at its front */
  gint64            deadline;   /* monotonic microseconds; 0: stall_s from now */
} HttpRequest;

typedef struct
{
  guint       status;
  guint       attempts;         /* it took to get it; 0 means one */
  GHashTable *headers;          /* lower-case name -> value */
  GBytes     *body;
} HttpAnswer;

Http       *http_new               (const HttpSettings *settings);
void        http_free              (Http *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Http, http_free)

HttpAnswer *http_perform           (Http *self, const HttpRequest *request,
                                    GCancellable *cancellable,
                                    GError **error) G_GNUC_WARN_UNUSED_RESULT;

const char *http_answer_get_header (const HttpAnswer *self, const char *name);
void        http_answer_free       (HttpAnswer *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (HttpAnswer, http_answer_free)
