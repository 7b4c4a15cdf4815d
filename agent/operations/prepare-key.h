/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <operations/operations.h>

G_BEGIN_DECLS

/* Idempotency keys of requests that are on their way to become operations: who repeats one
 * meanwhile waits until the first is through. */

typedef void (*PrepareFunc) (GTask *task);

/* Whether @task has the key now (always without one: NULL). Else another has it: @again is called
 * with @task once that one has let it go. */
gboolean prepare_key_take    (Operations *operations, const char *key, GTask *task,
                              PrepareFunc again);
/* Only by who has it. */
void     prepare_key_release (Operations *operations, const char *key);

/* operations.c: those keys, with who waits for each */
GHashTable *operations_get_preparing (Operations *self);

G_END_DECLS
