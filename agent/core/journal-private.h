/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <core/journal.h>

#include <sqlite3.h>

G_BEGIN_DECLS

/* "qsnp" in the file's header: tells our file from any other SQLite file. */
#define JOURNAL_APPLICATION_ID 0x71736e70

/* journal-open.c: the file before it is known to be good. */
gboolean journal_lock_file (const char *path, int *lock, GError **error)
                            G_GNUC_WARN_UNUSED_RESULT;
gboolean journal_make_file (const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean journal_open_file (const char *path, sqlite3 **db, GError **error)
                            G_GNUC_WARN_UNUSED_RESULT;
void     journal_set_sqlite_error (GError **error, sqlite3 *db, const char *path,
                                   const char *doing);

/* journal-migrations.c: the tables. */
extern const char *const journal_migrations[];

gboolean journal_migrate (sqlite3 *db, const char *path, const char *const *migrations,
                          GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
