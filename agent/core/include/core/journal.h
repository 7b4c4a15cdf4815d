/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>
#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/* The memory that survives: one SQLite file (WAL, synchronous=FULL, numbered migrations). Whoever
 * keeps rows in it writes SQL of its own through these few verbs. */

/* In the state folder. Its log and its lock are called so, too, with something behind it. Nobody
 * but SQLite opens it while it is in use: the locks of a process on a file go with any descriptor
 * for it that is closed. */
#define JOURNAL_FILE "journal.sqlite"

#define TYPE_JOURNAL (journal_get_type ())
G_DECLARE_FINAL_TYPE (Journal, journal, AGENT, JOURNAL, GObject)

typedef struct _JournalRow JournalRow;

typedef void (*JournalRowFunc)   (JournalRow *row, gpointer user_data);

/* Called before each durable write; FALSE makes the write fail with @error. For fault tests. */
typedef gboolean (*JournalHook)  (Journal *self, gpointer user_data, GError **error);

/* For this process alone: another one that has it is named in AGENT_ERROR_CONFLICT. */
Journal    *journal_open         (const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* In place of one that is AGENT_ERROR_DAMAGED (@why), which it leaves alone: what can be read of
 * its guests and of their disks, and else nothing. Refuses every write with AGENT_ERROR_DAMAGED.
 * NULL with AGENT_ERROR_CONFLICT when another process has the file. */
Journal    *journal_open_damaged (const char *path, const GError *why,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Why nothing is written, while that is so. (nullable) (transfer none) */
const GError *journal_get_damage (Journal *self);
const char *journal_get_path     (Journal *self);
void        journal_set_hook     (Journal *self, JournalHook hook, gpointer user_data);

/* @types has one letter for each ? in @sql: "s" const char * (nullable), "i" gint64, "j" JsonNode *
 * (nullable). Outside begin/commit each write is durable when the call returns. */
gboolean    journal_write        (Journal *self, GError **error, const char *sql,
                                  const char *types, ...) G_GNUC_WARN_UNUSED_RESULT;
gboolean    journal_read         (Journal *self, JournalRowFunc func, gpointer user_data,
                                  GError **error, const char *sql, const char *types,
                                  ...) G_GNUC_WARN_UNUSED_RESULT;

/* Several writes that become durable together. A failed commit has rolled back. */
gboolean    journal_begin        (Journal *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean    journal_commit       (Journal *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;
void        journal_rollback     (Journal *self);

const char *journal_row_text     (JournalRow *row, int column);         /* (nullable) */
gint64      journal_row_int64    (JournalRow *row, int column);
/* (nullable) (transfer full) */
JsonNode   *journal_row_json     (JournalRow *row, int column);

G_END_DECLS
