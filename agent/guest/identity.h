/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "probe.h"

G_BEGIN_DECLS

/* Who a guest is, and must be again whenever its link comes back. */
typedef struct
{
  char      *required_uuid;     /* (nullable): the caller's word */
  gboolean   pinned;            /* what follows must hold */
  gboolean   told;              /* what follows behind it was told at least once */
  char      *pinned_uuid;       /* (nullable) */
  char      *pinned_name;       /* (nullable): only where there is no UUID */

  GuestKind  kind;
  char      *uuid;              /* (nullable) */
  char      *name;              /* (nullable) */
} Identity;

Identity *identity_new     (void);
void      identity_free    (Identity *self);

gboolean  identity_accepts (Identity *self, const GuestProbe *probe, const char *place,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;
void      identity_take    (Identity *self, const GuestProbe *probe);
void      identity_restore (Identity *self, const char *uuid, const char *name);
char     *identity_make_id (Identity *self, const char *place);

G_END_DECLS
