/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Which bytes of a disk a layer itself holds: sorted ranges that neither touch nor overlap. Plain
 * data, pure functions. */

typedef struct
{
  gint64 start;                 /* bytes, as the guest counts them */
  gint64 length;                /* bytes, above 0 */
} Extent;

typedef struct _Extents Extents;

Extents       *extents_new      (void);
void           extents_free     (Extents *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Extents, extents_free)

/* In any order; what overlaps or touches becomes one. */
void           extents_add      (Extents *self, gint64 start, gint64 length);
Extents       *extents_copy     (const Extents *self) G_GNUC_WARN_UNUSED_RESULT;
void           extents_unite    (Extents *self, const Extents *other);
void           extents_subtract (Extents *self, const Extents *other);
gint64         extents_total    (const Extents *self);          /* bytes */
guint          extents_count    (const Extents *self);
const Extent  *extents_get      (const Extents *self, guint index);

G_END_DECLS
