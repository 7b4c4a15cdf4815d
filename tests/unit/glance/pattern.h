/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>
#include <glance/body.h>

/* Bytes that follow from their position, without memory for them. */
typedef struct
{
  gint64        length;
  gint64        position;
  guint         rewinds;
  gint64        fails_at;       /* -1: never */
  gint64        ends_at;        /* -1: at its length */
  gint64        cancels_at;     /* -1: never */
  GCancellable *cancellable;    /* (nullable) */
  guint         pause_us;       /* before each piece */
} Pattern;

void       pattern_init      (Pattern *self, gint64 length);
GlanceBody pattern_as_body   (Pattern *self);
