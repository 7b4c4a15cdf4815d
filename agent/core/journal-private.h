/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <core/journal.h>

#include <sqlite3.h>

G_BEGIN_DECLS

/* "qsnp" in the file's header: tells our file from any other SQLite file. */
#define JOURNAL_APPLICATION_ID 0x71736e70

struct _Journal
{
  GObject      parent_instance;

  char        *path;
  sqlite3     *db;
  int          lock;            /* held as long as we live; -1: of nothing on the disk */
  GHashTable  *statements;      /* SQL -> sqlite3_stmt, those not in use */
  GError      *damage;          /* (nullable): why nothing is written */

  JournalHook  hook;
  gpointer     hook_data;
};

/* journal-open.c: the file before it is known to be good. */
gboolean journal_lock_file (const char *path, int *lock, GError **error)
                            G_GNUC_WARN_UNUSED_RESULT;
gboolean journal_keep_private (const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean journal_open_file (const char *path, sqlite3 **db, GError **error)
                            G_GNUC_WARN_UNUSED_RESULT;
void     journal_set_sqlite_error (GError **error, sqlite3 *db, const char *path,
                                   const char *doing);
void     journal_set_damaged (GError **error, const char *path, const char *what);
gboolean journal_check_log (const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;
GBytes  *journal_read_file (const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean journal_sync_folder (const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* journal-rebuild.c: the first one of all, where there is none; and what a rebuilding has decided.
 * */
gboolean journal_make_first (const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean journal_take_place (const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* journal-memory.c: with all tables, and not on the disk. @path: (nullable): for messages */
Journal *journal_new_in_memory (const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* journal-migrations.c: the tables. */
extern const char *const journal_migrations[];

gboolean journal_migrate (sqlite3 *db, const char *path, const char *const *migrations,
                          GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
