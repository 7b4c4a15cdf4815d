/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How commands, and links, are meant to end: for tests of the client. */

#include <qmp/client.h>

G_BEGIN_DECLS

void answers_execute        (QmpClient     *client,
                             const char    *command,
                             guint          deadline_ms,
                             GCancellable  *cancellable,
                             GAsyncResult **result);
void answers_assert_fails   (QmpClient     *client,
                             GAsyncResult **result,
                             GQuark         domain,
                             int            code,
                             const char    *text);
/* @value: JSON. */
void answers_assert_returns (QmpClient     *client,
                             GAsyncResult **result,
                             const char    *value);

typedef struct
{
  guint    times;
  gboolean closed;
  GError  *reason;
} Closed;

/* A handler of "closed". */
void closed_note            (QmpClient     *client,
                             const GError  *reason,
                             Closed        *closed);
/* Waits for the end of the link. */
void closed_assert          (Closed        *closed,
                             int            code,
                             const char    *text);

G_END_DECLS
