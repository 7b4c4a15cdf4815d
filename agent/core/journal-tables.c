/* SPDX-License-Identifier: Apache-2.0 */

/* Knows which rows of the journal can be read as what they are. */

#include "journal-tables.h"

#include "journal-private.h"

#define JSON(column, type) \
  "CASE WHEN json_valid(" column ") THEN json_type(" column ") = '" type "' ELSE 0 END"
#define OBJECT(column) JSON (column, "object")
#define ARRAY(column)  JSON (column, "array")

const JournalTable journal_tables[] = {
  { .name = "operations", .version = 1,
    .readable = "id != '' AND state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')"
                " AND (disks IS NULL OR " ARRAY ("disks") ") AND " OBJECT ("request")
                " AND " OBJECT ("plan") " AND " OBJECT ("result") },
  { .name = "steps", .version = 1, .key = "operation", .owners = "SELECT id FROM operations",
    .readable = "state IN ('pending', 'running', 'done', 'failed') AND position >= 0" },
  { .name = "guests", .version = 1,
    .readable = "id != '' AND " OBJECT ("config") },
  { .name = "points", .version = 1,
    .readable = "id != '' AND guest != '' AND (metadata IS NULL OR " OBJECT ("metadata") ")" },
  { .name = "point_disks", .version = 1, .key = "point", .owners = "SELECT id FROM points",
    .readable = "disk != '' AND path LIKE '/%' AND ino != 0" },
  { .name = "images", .version = 1,
    .readable = "id != '' AND (size IS NULL OR size >= -1)" },
  { .name = "guest_disks", .version = 2, .key = "guest",
    .owners = "SELECT guest FROM points UNION SELECT guest FROM operations"
              " UNION SELECT id FROM guests",
    .readable = "published LIKE '/%' AND path LIKE '/%' AND " ARRAY ("aliases")
                " AND " ARRAY ("layers") },
  { .name = "unwanted_images", .version = 3,
    .readable = "id != '' AND store != '' AND operation != ''" },
  { NULL }
};

static gboolean
count (sqlite3    *db,
       const char *path,
       const char *sql,
       gint64     *n_rows,
       GError    **error)
{
  sqlite3_stmt *statement = NULL;
  gboolean ok;

  ok = sqlite3_prepare_v2 (db, sql, -1, &statement, NULL) == SQLITE_OK &&
       sqlite3_step (statement) == SQLITE_ROW;

  /* That a table or a column is missing is an error of the statement, to SQLite. */
  if (ok)
    *n_rows = sqlite3_column_int64 (statement, 0);
  else
    journal_set_damaged (error, path, sqlite3_errmsg (db));

  sqlite3_finalize (statement);

  return ok;
}

/**
 * journal_check_rows:
 * @db: an open journal
 * @path: its name
 * @version: of its tables
 * @error: return location
 *
 * Returns: whether each row can be read as what it is; else AGENT_ERROR_DAMAGED
 */
gboolean
journal_check_rows (sqlite3     *db,
                    const char  *path,
                    guint        version,
                    GError     **error)
{
  gint64 n_rows = 0;

  for (const JournalTable *table = journal_tables; table->name != NULL; table++)
    {
      g_autofree char *sql = g_strdup_printf ("SELECT count(*) FROM %s WHERE NOT coalesce((%s), 0)",
                                              table->name, table->readable);
      g_autofree char *what = NULL;

      if (table->version > version)
        continue;
      if (!count (db, path, sql, &n_rows, error))
        return FALSE;
      if (n_rows == 0)
        continue;
      what = g_strdup_printf ("%" G_GINT64_FORMAT " rows of %s cannot be read as what they are",
                              n_rows, table->name);
      journal_set_damaged (error, path, what);
      return FALSE;
    }

  if (!count (db, path, "SELECT count(*) FROM pragma_foreign_key_check", &n_rows, error))
    return FALSE;
  if (n_rows != 0)
    journal_set_damaged (error, path, "rows belong to others that are not there");

  return n_rows == 0;
}
