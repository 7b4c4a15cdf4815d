/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>
#include <sqlite3.h>

G_BEGIN_DECLS

/* What a row of each table must be, beyond what SQLite sees to: for who opens a journal, and for
 * who reads a damaged one. */
typedef struct
{
  const char *name;
  guint       version;          /* of the journal that came with it */
  const char *readable;         /* SQL: whether a row can be read as what it is */
  const char *key;              /* (nullable): by what its rows are sought, where it has no rowid */
  const char *owners;           /* (nullable): SQL: the keys that there can be */
} JournalTable;

/* Owners before what they own; ended by one without a name. */
extern const JournalTable journal_tables[];

/* AGENT_ERROR_DAMAGED names the table. */
gboolean journal_check_rows (sqlite3 *db, const char *path, guint version,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
