/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <libsoup/soup.h>

G_BEGIN_DECLS

#define ARRIVALS_MAX       512                  /* connections at a time */
#define ARRIVALS_WAITS_MAX 256                  /* ... whose request waits for an operation's end */
#define ARRIVALS_BYTES_MAX (32 * 1024 * 1024)   /* of bodies that are on their way */

/* Everybody who is connected. */
typedef struct _Arrivals Arrivals;
/* One of them. */
typedef struct _Arrival Arrival;

Arrivals *arrivals_new       (void);
void      arrivals_free      (Arrivals *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Arrivals, arrivals_free)

/* Counts a connection, as long as its @message lives. */
void      arrivals_add       (Arrivals *self, SoupServerMessage *message);
Arrival  *arrival_of         (SoupServerMessage *message);

/* FALSE when there is no room for so many bytes of its body. */
gboolean  arrival_take_bytes (Arrival *self, gsize length) G_GNUC_WARN_UNUSED_RESULT;
/* Its body is without an end: it has to go. */
void      arrival_cut_off    (Arrival *self);
/* Its request is complete: it does not keep us waiting any more. */
void      arrival_complete   (Arrival *self);
/* FALSE when too many wait already. */
gboolean  arrival_wait       (Arrival *self) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
