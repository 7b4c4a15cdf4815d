/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* When to look for a guest again. */
typedef struct _Retry Retry;

typedef void (*RetryFunc) (gpointer user_data);

Retry *retry_new       (const char *monitor, RetryFunc func, gpointer user_data);
void   retry_free      (Retry *self);

void   retry_begin     (Retry *self);   /* a try begins */
void   retry_failed    (Retry *self);   /* it came to nothing: there will be another one */
void   retry_succeeded (Retry *self);   /* no need for another one */
void   retry_hurry     (Retry *self);   /* soon, if one is waited for; else soon after this one */
void   retry_forgive   (Retry *self);   /* earlier failures do not count */
void   retry_tire      (Retry *self);   /* the next wait is the longest one */

G_END_DECLS
