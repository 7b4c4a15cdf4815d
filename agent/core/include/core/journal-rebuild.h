/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <core/journal.h>

G_BEGIN_DECLS

/* What becomes of a journal that cannot be trusted: it is read as far as it can be, and another one
 * takes its place. Nothing here ever changes the damaged file; it is kept under another name. */

/* What came of one table. */
typedef struct
{
  const char *name;
  guint       rows;             /* that could be read, and are what they should be */
  guint       refused;          /* that could be read, and are not */
  gboolean    whole;            /* all of the table could be read */
  gboolean    sound;            /* and its indexes say the same: no page of it is an older one */
} SalvagedTable;

typedef struct
{
  Journal   *content;           /* in memory: the rows that could be read, and no others */
  GPtrArray *tables;            /* of SalvagedTable */
  gboolean   log_whole;         /* the rows are the newest that there were */
  char      *problem;           /* (nullable): why more could not be read */
} JournalSalvage;

void            journal_salvage_free (JournalSalvage *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (JournalSalvage, journal_salvage_free)

/* Reads what can be read of the file, which is not open here. Nothing in it is believed that was
 * not checked. Blocking. AGENT_ERROR_CONFLICT when it is of a newer version; INTERNAL. */
JournalSalvage *journal_salvage      (const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* The same for what a file and its log hold. @log: (nullable). */
JournalSalvage *journal_salvage_bytes (GBytes *file, GBytes *log,
                                       GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* What such a file would hold of a journal that is open. AGENT_ERROR_INTERNAL */
GBytes         *journal_dup_bytes    (Journal *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* (nullable) (transfer none) */
const SalvagedTable *journal_salvage_find_table (const JournalSalvage *self, const char *name);

/* Has it refuse every write with @why, or take them again (NULL), while another one is made of it.
 * @why: (transfer full) (nullable): AGENT_ERROR_DAMAGED */
void            journal_refuse       (Journal *self, GError *why);
/* Decides that @content takes the place of @self, durably: the next journal_open() finds it there,
 * whoever dies meanwhile. @self refuses every write from then on. @kept: (out): the name under
 * which the file is kept that it replaces. AGENT_ERROR NO_SPACE, INTERNAL: nothing has changed. */
gboolean        journal_succeed      (Journal *self, Journal *content, char **kept,
                                      GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
