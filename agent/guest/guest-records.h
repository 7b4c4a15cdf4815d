/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <core/journal.h>
#include <guest/guest.h>

G_BEGIN_DECLS

/* A guest that was attached by request, as the journal keeps it. */
typedef struct
{
  GuestConfig *config;          /* with an id */
  char        *uuid;            /* (nullable): what it had when it was attached */
  char        *name;            /* (nullable) */
} GuestRecord;

void       guest_record_free    (GuestRecord *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GuestRecord, guest_record_free)

GPtrArray *guest_records_load   (Journal      *journal,
                                 GError      **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean   guest_records_save   (Journal      *journal,
                                 Guest        *guest,
                                 GError      **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean   guest_records_delete (Journal      *journal,
                                 const char   *id,
                                 GError      **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
