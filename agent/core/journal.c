/* SPDX-License-Identifier: Apache-2.0 */

/* Knows SQLite: bound values, cached statements, transactions. How the file is opened and whether
 * it may be is in journal-open.c; what the tables are, in journal-migrations.c. */

#include "journal-private.h"

#include <core/error.h>

#include <string.h>

#include <glib/gstdio.h>

struct _JournalRow
{
  sqlite3_stmt *statement;
};

G_DEFINE_FINAL_TYPE (Journal, journal, G_TYPE_OBJECT)

static void
finalize_statement (gpointer statement)
{
  sqlite3_finalize (statement);
}

static void
journal_finalize (GObject *object)
{
  Journal *self = AGENT_JOURNAL (object);

  g_clear_pointer (&self->statements, g_hash_table_unref);
  g_clear_pointer (&self->db, sqlite3_close);
  g_clear_pointer (&self->path, g_free);
  g_clear_error (&self->damage);

  /* Only now may another daemon have the file. */
  if (self->lock >= 0)
    g_close (self->lock, NULL);

  G_OBJECT_CLASS (journal_parent_class)->finalize (object);
}

static void
journal_class_init (JournalClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = journal_finalize;
}

static void
journal_init (Journal *self)
{
  self->lock = -1;
  self->statements = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, finalize_statement);
}

/**
 * journal_open:
 * @path: the file; made with mode 0600 when it is not there, in a folder that is
 * @error: return location
 *
 * Opens the journal for this process alone, checks that it is whole, and brings its tables to the
 * newest version. Next to @path stands "@path.lock" with the process id of the one who has it.
 *
 * Returns: (transfer full): the journal; %NULL with AGENT_ERROR_CONFLICT when another process has
 *   it; AGENT_ERROR_DAMAGED when it is torn, or not ours: the file is what it was then;
 *   AGENT_ERROR_NO_SPACE; or AGENT_ERROR_INTERNAL, also when it is of a newer version
 */
Journal *
journal_open (const char  *path,
              GError     **error)
{
  g_autoptr (Journal) self = g_object_new (TYPE_JOURNAL, NULL);

  self->path = g_strdup (path);

  if (!journal_lock_file (path, &self->lock, error) ||
      !journal_take_place (path, error) ||
      !journal_check_log (path, error) ||
      !journal_make_first (path, error) ||
      !journal_keep_private (path, error) ||
      !journal_open_file (path, &self->db, error) ||
      !journal_migrate (self->db, path, journal_migrations, error))
    return NULL;

  return g_steal_pointer (&self);
}

/**
 * journal_set_hook:
 * @self: the journal
 * @hook: (nullable) (scope forever): called before each durable write
 * @user_data: handed to @hook
 *
 * Lets a test see, and refuse, each durable write.
 */
void
journal_set_hook (Journal     *self,
                  JournalHook  hook,
                  gpointer     user_data)
{
  self->hook = hook;
  self->hook_data = user_data;
}

/**
 * journal_get_damage:
 * @self: a journal
 *
 * Returns: (transfer none) (nullable): why nothing is written to it: AGENT_ERROR_DAMAGED
 */
const GError *
journal_get_damage (Journal *self)
{
  return self->damage;
}

/**
 * journal_get_path:
 * @self: a journal
 *
 * Returns: (transfer none): the name of its file
 */
const char *
journal_get_path (Journal *self)
{
  return self->path;
}

static gboolean
is_whole (Journal  *self,
          GError  **error)
{
  if (self->damage != NULL)
    g_propagate_error (error, g_error_copy (self->damage));

  return self->damage == NULL;
}

static gboolean
ask_hook (Journal  *self,
          GError  **error)
{
  return self->hook == NULL || self->hook (self, self->hook_data, error);
}

/* A statement is out of the cache while it is used: a row's function may run the same SQL again. */
static sqlite3_stmt *
take_statement (Journal     *self,
                const char  *sql,
                GError     **error)
{
  gpointer key, statement;
  sqlite3_stmt *fresh = NULL;

  if (g_hash_table_steal_extended (self->statements, sql, &key, &statement))
    {
      g_free (key);
      return statement;
    }

  if (sqlite3_prepare_v3 (self->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &fresh, NULL) != SQLITE_OK)
    {
      journal_set_sqlite_error (error, self->db, self->path, "use");
      g_prefix_error (error, "%s: ", sql);
      return NULL;
    }

  return fresh;
}

static void
give_back_statement (Journal      *self,
                     const char   *sql,
                     sqlite3_stmt *statement)
{
  sqlite3_reset (statement);
  sqlite3_clear_bindings (statement);
  g_hash_table_replace (self->statements, g_strdup (sql), statement);
}

static int
bind_json (sqlite3_stmt *statement,
           int           index,
           JsonNode     *node)
{
  g_autofree char *text = NULL;

  if (node == NULL)
    return sqlite3_bind_null (statement, index);

  text = json_to_string (node, FALSE);

  return sqlite3_bind_text (statement, index, text, -1, SQLITE_TRANSIENT);
}

static gboolean
bind_values (Journal       *self,
             sqlite3_stmt  *statement,
             const char    *types,
             va_list        args,
             GError       **error)
{
  int n_values = (int) strlen (types);
  int status = SQLITE_OK;

  if (sqlite3_bind_parameter_count (statement) != n_values)
    {
      agent_set_error (error, AGENT_ERROR_INTERNAL, NULL, "%s: %d values are wanted, not \"%s\"",
                       sqlite3_sql (statement), sqlite3_bind_parameter_count (statement), types);
      return FALSE;
    }

  for (int i = 0; i < n_values && status == SQLITE_OK; i++)
    {
      switch (types[i])
        {
        case 's':
          status = sqlite3_bind_text (statement, i + 1, va_arg (args, const char *), -1,
                                      SQLITE_TRANSIENT);
          break;
        case 'i':
          status = sqlite3_bind_int64 (statement, i + 1, va_arg (args, gint64));
          break;
        case 'j':
          status = bind_json (statement, i + 1, va_arg (args, JsonNode *));
          break;
        default:
          agent_set_error (error, AGENT_ERROR_INTERNAL, NULL, "%s: no type of value is called '%c'",
                           sqlite3_sql (statement), types[i]);
          return FALSE;
        }
    }

  if (status != SQLITE_OK)
    journal_set_sqlite_error (error, self->db, self->path, "use");

  return status == SQLITE_OK;
}

static gboolean
run_statement (Journal         *self,
               JournalRowFunc   func,
               gpointer         user_data,
               const char      *doing,
               const char      *sql,
               const char      *types,
               va_list          args,
               GError         **error)
{
  sqlite3_stmt *statement = take_statement (self, sql, error);
  gboolean ok;
  int status;

  if (statement == NULL)
    return FALSE;

  ok = bind_values (self, statement, types, args, error);

  if (ok)
    {
      while ((status = sqlite3_step (statement)) == SQLITE_ROW)
        {
          JournalRow row = { statement };

          if (func != NULL)
            func (&row, user_data);
        }

      ok = status == SQLITE_DONE;

      if (!ok)
        journal_set_sqlite_error (error, self->db, self->path, doing);
    }

  give_back_statement (self, sql, statement);

  return ok;
}

/**
 * journal_write:
 * @self: the journal
 * @error: return location
 * @sql: one statement that changes rows, with ? for values; the same text should be used again
 * @types: one letter for each ?: "s" const char * (nullable), "i" gint64, "j" JsonNode * (nullable)
 * @...: the values
 *
 * Changes rows. Outside journal_begin() and journal_commit() the change is durable when this
 * returns.
 *
 * Returns: %FALSE with AGENT_ERROR_NO_SPACE, AGENT_ERROR_CONFLICT (a constraint of the table says
 *   no), AGENT_ERROR_DAMAGED or AGENT_ERROR_INTERNAL; then nothing has changed
 */
gboolean
journal_write (Journal     *self,
               GError     **error,
               const char  *sql,
               const char  *types,
               ...)
{
  gboolean ok;
  va_list args;

  if (!is_whole (self, error) || (sqlite3_get_autocommit (self->db) && !ask_hook (self, error)))
    return FALSE;

  va_start (args, types);
  ok = run_statement (self, NULL, NULL, "write", sql, types, args, error);
  va_end (args);

  return ok;
}

/**
 * journal_read:
 * @self: the journal
 * @func: (scope call): called for each row; may itself read and write
 * @user_data: handed to @func
 * @error: return location
 * @sql: one SELECT, with ? for values
 * @types: as in journal_write()
 * @...: the values
 *
 * Reads rows.
 *
 * Returns: %FALSE with AGENT_ERROR_INTERNAL; @func may have been called by then
 */
gboolean
journal_read (Journal         *self,
              JournalRowFunc   func,
              gpointer         user_data,
              GError         **error,
              const char      *sql,
              const char      *types,
              ...)
{
  gboolean ok;
  va_list args;

  va_start (args, types);
  ok = run_statement (self, func, user_data, "read", sql, types, args, error);
  va_end (args);

  return ok;
}

static gboolean
run_plain (Journal     *self,
           const char  *sql,
           GError     **error,
           ...)
{
  gboolean ok;
  va_list none;

  va_start (none, error);
  ok = run_statement (self, NULL, NULL, "write", sql, "", none, error);
  va_end (none);

  return ok;
}

/**
 * journal_begin:
 * @self: the journal
 * @error: return location
 *
 * Opens a transaction. Transactions do not nest, and end before control goes back to the main loop.
 *
 * Returns: %FALSE with AGENT_ERROR_NO_SPACE, AGENT_ERROR_DAMAGED or AGENT_ERROR_INTERNAL
 */
gboolean
journal_begin (Journal  *self,
               GError  **error)
{
  return is_whole (self, error) && run_plain (self, "BEGIN IMMEDIATE", error);
}

/**
 * journal_commit:
 * @self: the journal
 * @error: return location
 *
 * Makes all writes since journal_begin() durable together.
 *
 * Returns: %FALSE with AGENT_ERROR_NO_SPACE or AGENT_ERROR_INTERNAL; then all are rolled back
 */
gboolean
journal_commit (Journal  *self,
                GError  **error)
{
  if (ask_hook (self, error) && run_plain (self, "COMMIT", error))
    return TRUE;

  journal_rollback (self);

  return FALSE;
}

/**
 * journal_rollback:
 * @self: the journal
 *
 * Forgets all writes since journal_begin(). Does nothing outside a transaction.
 */
void
journal_rollback (Journal *self)
{
  g_autoptr (GError) error = NULL;

  /* Some failures, a full disk among them, have rolled back already. */
  if (!sqlite3_get_autocommit (self->db) && !run_plain (self, "ROLLBACK", &error))
    g_debug ("%s", error->message);
}

/**
 * journal_row_text:
 * @row: a row
 * @column: from 0
 *
 * Returns: (transfer none) (nullable): the text, valid until the row's function returns
 */
const char *
journal_row_text (JournalRow *row,
                  int         column)
{
  return (const char *) sqlite3_column_text (row->statement, column);
}

/**
 * journal_row_int64:
 * @row: a row
 * @column: from 0
 *
 * Returns: the number; 0 for NULL
 */
gint64
journal_row_int64 (JournalRow *row,
                   int         column)
{
  return sqlite3_column_int64 (row->statement, column);
}

/**
 * journal_row_json:
 * @row: a row
 * @column: from 0
 *
 * Returns: (transfer full) (nullable): the JSON in the column; %NULL for NULL and for what is no
 *   JSON
 */
JsonNode *
journal_row_json (JournalRow *row,
                  int         column)
{
  const char *text = journal_row_text (row, column);

  return text != NULL ? json_from_string (text, NULL) : NULL;
}
