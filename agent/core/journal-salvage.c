/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how to read what can be read of a damaged journal. SQLite reads a copy in memory, so that
 * the file stays what it is; what it reads is taken row by row into a journal of the newest
 * version, whose constraints hold for it as for any other. */

#include <core/journal-rebuild.h>

#include "journal-log.h"
#include "journal-private.h"
#include "journal-tables.h"

#include <core/error.h>

#include <string.h>

#define DATABASE_HEADER  100
#define DATABASE_MAGIC   "SQLite format 3"
#define PAGE_SIZE        4096           /* where nothing tells another one */
#define DATABASE_MAX     ((gsize) 1 << 30)
#define TEXT_MAX         (64 << 20)     /* bytes of one value */
#define STEPS_MAX        20000          /* thousands of SQLite's instructions, for one statement */
#define ROWS_MAX         1000000
#define JUMPS_MAX        4000           /* over what cannot be read of a table */

/**
 * journal_salvage_free:
 * @self: (nullable): what was read
 */
void
journal_salvage_free (JournalSalvage *self)
{
  if (self == NULL)
    return;

  g_clear_object (&self->content);
  g_ptr_array_unref (self->tables);
  g_free (self->problem);
  g_free (self);
}

/**
 * journal_salvage_find_table:
 * @self: what was read
 * @name: a table
 *
 * Returns: (transfer none) (nullable): what came of it
 */
const SalvagedTable *
journal_salvage_find_table (const JournalSalvage *self,
                            const char           *name)
{
  for (guint i = 0; i < self->tables->len; i++)
    {
      const SalvagedTable *table = g_ptr_array_index (self->tables, i);

      if (g_str_equal (table->name, name))
        return table;
    }

  return NULL;
}

/* --- the bytes --- */

static void
put_big32 (guint8  *bytes,
           guint32  value)
{
  value = GUINT32_TO_BE (value);
  memcpy (bytes, &value, sizeof value);
}

static guint32
page_size_of (GBytes           *file,
              const JournalLog *log)
{
  gsize length;
  const guint8 *bytes = g_bytes_get_data (file, &length);
  guint32 size = length >= DATABASE_HEADER ? (guint32) bytes[16] << 8 | bytes[17] : 0;

  if (log->page_size != 0)
    return log->page_size;
  if (size == 1)
    return 65536;

  return size >= 512 && (size & (size - 1)) == 0 ? size : PAGE_SIZE;
}

/* What SQLite looks at before it looks at any page. */
static void
mend_header (guint8  *bytes,
             guint32  page_size,
             gsize    n_pages)
{
  static const guint8 fractions[] = { 0, 64, 32, 32 };

  memcpy (bytes, DATABASE_MAGIC, sizeof DATABASE_MAGIC);
  bytes[16] = (guint8) (page_size == 65536 ? 0 : page_size >> 8);
  bytes[17] = (guint8) (page_size == 65536 ? 1 : page_size);
  bytes[18] = bytes[19] = 1;    /* it has no log any more */
  memcpy (bytes + 20, fractions, sizeof fractions);
  put_big32 (bytes + 28, (guint32) n_pages);
  memcpy (bytes + 92, bytes + 24, 4);
}

/* The database as its log leaves it. (transfer full) (nullable): NULL where there is nothing */
static GByteArray *
put_together (GBytes           *file,
              GBytes           *log_bytes,
              const JournalLog *log)
{
  gsize length = g_bytes_get_size (file);
  guint32 page_size = page_size_of (file, log);
  gsize n_pages = log->n_pages != 0 ? log->n_pages : length / page_size;
  g_autoptr (GByteArray) database = NULL;

  if (n_pages == 0 || n_pages > DATABASE_MAX / page_size)
    return NULL;

  database = g_byte_array_new ();
  g_byte_array_set_size (database, (guint) (n_pages * page_size));
  memset (database->data, 0, database->len);
  if (length > 0)
    memcpy (database->data, g_bytes_get_data (file, NULL), MIN (length, database->len));

  for (guint i = 0; i < log->n_frames; i++)
    {
      guint32 number;
      const guint8 *page = journal_log_page (log, log_bytes, i, &number);

      if (number >= 1 && number <= n_pages)
        memcpy (database->data + (gsize) (number - 1) * page_size, page, page_size);
    }

  mend_header (database->data, page_size, n_pages);

  return g_steal_pointer (&database);
}

static int
count_steps (gpointer user_data)
{
  guint *steps = user_data;

  return ++*steps > STEPS_MAX;
}

/* Of a file that anybody may have written. */
static sqlite3 *
open_bytes (GByteArray *database,
            guint      *steps)
{
  sqlite3 *db = NULL;

  if (sqlite3_open_v2 (":memory:", &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
    {
      sqlite3_close (db);
      return NULL;
    }

  /* Overlooks what is wrong with the schema. */
  sqlite3_db_config (db, SQLITE_DBCONFIG_WRITABLE_SCHEMA, 1, NULL);
  sqlite3_db_config (db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
  sqlite3_db_config (db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
  sqlite3_db_config (db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
  sqlite3_limit (db, SQLITE_LIMIT_LENGTH, TEXT_MAX);
  sqlite3_progress_handler (db, 1000, count_steps, steps);

  if (sqlite3_deserialize (db, "main", database->data, database->len, database->len,
                           SQLITE_DESERIALIZE_READONLY) == SQLITE_OK)
    return db;

  sqlite3_close (db);

  return NULL;
}

/* --- the rows --- */

typedef struct
{
  sqlite3            *db;
  guint              *steps;
  Journal            *content;
  const JournalTable *table;
  SalvagedTable      *came;
  char               *columns;  /* that both have, comma between */
  sqlite3_stmt       *insert;
  guint               n_columns;
} Copy;

static void
copy_clear (Copy *self)
{
  sqlite3_finalize (self->insert);
  g_free (self->columns);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Copy, copy_clear)

static GPtrArray *
list_columns (sqlite3    *db,
              const char *table)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  sqlite3_stmt *statement = NULL;

  if (sqlite3_prepare_v2 (db, "SELECT name FROM pragma_table_info(?)", -1, &statement, NULL)
      == SQLITE_OK &&
      sqlite3_bind_text (statement, 1, table, -1, SQLITE_STATIC) == SQLITE_OK)
    {
      while (sqlite3_step (statement) == SQLITE_ROW)
        g_ptr_array_add (names, g_strdup ((const char *) sqlite3_column_text (statement, 0)));
    }

  sqlite3_finalize (statement);

  return g_steal_pointer (&names);
}

/* Only our own names come into SQL. */
static gboolean
prepare_copy (Copy *self)
{
  g_autoptr (GPtrArray) theirs = list_columns (self->db, self->table->name);
  g_autoptr (GPtrArray) ours = list_columns (self->content->db, self->table->name);
  g_autoptr (GString) columns = g_string_new (NULL);
  g_autoptr (GString) marks = g_string_new (NULL);
  g_autofree char *sql = NULL;

  for (guint i = 0; i < ours->len; i++)
    {
      const char *name = g_ptr_array_index (ours, i);

      if (!g_ptr_array_find_with_equal_func (theirs, name, g_str_equal, NULL))
        continue;
      g_string_append_printf (columns, "%s%s", self->n_columns > 0 ? ", " : "", name);
      g_string_append (marks, self->n_columns > 0 ? ", ?" : "?");
      self->n_columns++;
    }

  if (self->n_columns == 0)
    return FALSE;

  sql = g_strdup_printf ("INSERT OR IGNORE INTO %s (%s) VALUES (%s)", self->table->name,
                         columns->str, marks->str);
  self->columns = g_string_free (g_steal_pointer (&columns), FALSE);

  return sqlite3_prepare_v2 (self->content->db, sql, -1, &self->insert, NULL) == SQLITE_OK;
}

static gboolean
is_text_whole (sqlite3_value *value)
{
  const char *text;

  if (sqlite3_value_type (value) != SQLITE_TEXT)
    return sqlite3_value_type (value) != SQLITE_BLOB;

  text = (const char *) sqlite3_value_text (value);

  return text != NULL && g_utf8_validate (text, sqlite3_value_bytes (value), NULL);
}

/* Columns 0 and 1 are the row's number and whether it can be read. */
static void
take_row (Copy         *self,
          sqlite3_stmt *row)
{
  gboolean good = sqlite3_column_int (row, 1) != 0;

  for (guint i = 0; i < self->n_columns && good; i++)
    {
      sqlite3_value *value = sqlite3_column_value (row, (int) i + 2);

      good = is_text_whole (value) &&
             sqlite3_bind_value (self->insert, (int) i + 1, value) == SQLITE_OK;
    }

  good = good && sqlite3_step (self->insert) == SQLITE_DONE;
  sqlite3_reset (self->insert);
  sqlite3_clear_bindings (self->insert);

  if (!good)
    self->came->refused++;
  else if (sqlite3_changes (self->content->db) > 0)
    self->came->rows++;
}

/* Whether all rows of that kind could be read. @number: (inout) (nullable): of the last row seen */
static gboolean
take_rows (Copy       *self,
           const char *where,
           const char *key,
           gint64     *number)
{
  g_autofree char *sql = g_strdup_printf ("SELECT %s, coalesce((%s), 0), %s FROM main.%s %s",
                                          number != NULL ? "rowid" : "0", self->table->readable,
                                          self->columns, self->table->name, where);
  sqlite3_stmt *statement = NULL;
  int status;

  *self->steps = 0;
  status = sqlite3_prepare_v2 (self->db, sql, -1, &statement, NULL);
  if (status == SQLITE_OK && number != NULL)
    status = sqlite3_bind_int64 (statement, 1, *number);
  else if (status == SQLITE_OK && key != NULL)
    status = sqlite3_bind_text (statement, 1, key, -1, SQLITE_TRANSIENT);

  if (status == SQLITE_OK)
    {
      while ((status = sqlite3_step (statement)) == SQLITE_ROW && self->came->rows < ROWS_MAX)
        {
          if (number != NULL)
            *number = sqlite3_column_int64 (statement, 0);
          take_row (self, statement);
        }
    }

  sqlite3_finalize (statement);

  return status == SQLITE_DONE;
}

/* Pages that lead to each other in a circle would be read for ever. */
static gboolean
is_exhausted (const Copy *self)
{
  return *self->steps > STEPS_MAX;
}

/* Over what cannot be read, by ever longer leaps. */
static void
copy_numbered (Copy *self)
{
  gint64 number = G_MININT64;
  gint64 leap = 1;

  for (guint i = 0; i < JUMPS_MAX; i++)
    {
      gint64 before = number;

      if (take_rows (self, "WHERE rowid > ?1 ORDER BY rowid", NULL, &number))
        return;
      self->came->whole = FALSE;
      if (is_exhausted (self))
        return;
      leap = number != before ? 1 : leap < G_MAXINT64 / 4 ? leap * 2 : leap;
      if (number == G_MININT64)
        number = 0;
      else if (number > G_MAXINT64 - leap)
        return;
      else
        number += leap;
    }
}

static void
copy_sought (Copy *self)
{
  g_autofree char *by_key = g_strdup_printf ("WHERE %s = ?1", self->table->key);
  g_autofree char *backwards = g_strdup_printf ("ORDER BY %s DESC", self->table->key);
  g_autofree char *forwards = g_strdup_printf ("ORDER BY %s", self->table->key);
  sqlite3_stmt *owners = NULL;

  self->came->whole = take_rows (self, forwards, NULL, NULL);
  if (self->came->whole)
    return;

  (void) take_rows (self, backwards, NULL, NULL);
  if (sqlite3_prepare_v2 (self->content->db, self->table->owners, -1, &owners, NULL) == SQLITE_OK)
    {
      while (!is_exhausted (self) && sqlite3_step (owners) == SQLITE_ROW)
        (void) take_rows (self, by_key, (const char *) sqlite3_column_text (owners, 0), NULL);
    }
  sqlite3_finalize (owners);
}

/* A page that was lost on its way to the disk leaves an older one, with rows that have gone since;
 * the indexes do not have them. */
static gboolean
is_sound (const Copy *self)
{
  g_autofree char *sql = g_strdup_printf ("PRAGMA integrity_check(%s)", self->table->name);
  sqlite3_stmt *statement = NULL;
  gboolean ok;

  *self->steps = 0;
  ok = sqlite3_prepare_v2 (self->db, sql, -1, &statement, NULL) == SQLITE_OK &&
       sqlite3_step (statement) == SQLITE_ROW &&
       g_strcmp0 ((const char *) sqlite3_column_text (statement, 0), "ok") == 0;
  sqlite3_finalize (statement);

  return ok;
}

static void
copy_table (JournalSalvage     *salvage,
            sqlite3            *db,
            guint              *steps,
            const JournalTable *table)
{
  SalvagedTable *came = g_new0 (SalvagedTable, 1);
  g_auto (Copy) copy = { .db = db, .steps = steps, .content = salvage->content, .table = table,
                         .came = came };

  came->name = table->name;
  g_ptr_array_add (salvage->tables, came);
  if (db == NULL || !prepare_copy (&copy))
    return;

  came->whole = TRUE;
  if (table->key != NULL)
    copy_sought (&copy);
  else
    copy_numbered (&copy);
  came->sound = came->whole && is_sound (&copy);
}

/* --- all of it --- */

static gint64
ask_number (sqlite3    *db,
            const char *sql)
{
  sqlite3_stmt *statement = NULL;
  gint64 number = -1;

  if (db != NULL && sqlite3_prepare_v2 (db, sql, -1, &statement, NULL) == SQLITE_OK &&
      sqlite3_step (statement) == SQLITE_ROW)
    number = sqlite3_column_int64 (statement, 0);

  sqlite3_finalize (statement);

  return number;
}

static gboolean
check_version (sqlite3  *db,
               GError  **error)
{
  guint newest = g_strv_length ((char **) journal_migrations);
  gint64 version = ask_number (db, "PRAGMA user_version");

  /* A number from nowhere is no version. */
  if (version <= newest || version > newest + 100)
    return TRUE;

  agent_set_error (error, AGENT_ERROR_CONFLICT, "install the newer version of qsnapd again",
                   "the damaged journal has tables of version %" G_GINT64_FORMAT ", and this "
                   "version of qsnapd knows them up to version %u", version, newest);

  return FALSE;
}

static char *
find_problem (sqlite3 *db)
{
  sqlite3_stmt *statement = NULL;
  g_autofree char *problem = NULL;

  if (db == NULL)
    return g_strdup ("there are no pages of a database in it");

  if (sqlite3_prepare_v2 (db, "PRAGMA integrity_check(1)", -1, &statement, NULL) != SQLITE_OK ||
      sqlite3_step (statement) != SQLITE_ROW)
    problem = g_strdup (sqlite3_errmsg (db));
  else if (g_strcmp0 ((const char *) sqlite3_column_text (statement, 0), "ok") != 0)
    problem = g_strdup ((const char *) sqlite3_column_text (statement, 0));

  sqlite3_finalize (statement);

  return problem != NULL ? g_utf8_make_valid (problem, -1) : NULL;
}

static gboolean
copy_all (JournalSalvage  *self,
          sqlite3         *db,
          guint           *steps,
          GError         **error)
{
  if (!check_version (db, error) || !journal_begin (self->content, error))
    return FALSE;

  for (const JournalTable *table = journal_tables; table->name != NULL; table++)
    copy_table (self, db, steps, table);

  *steps = 0;
  self->problem = find_problem (db);

  /* A point of no disk is none. */
  return journal_write (self->content, error,
                        "DELETE FROM points WHERE id NOT IN (SELECT point FROM point_disks)", "") &&
         journal_commit (self->content, error);
}

/**
 * journal_salvage_bytes:
 * @file: what the journal's file holds
 * @log: (nullable): what the log beside it holds
 * @error: return location
 *
 * Returns: (transfer full): what could be read, which may be nothing
 */
JournalSalvage *
journal_salvage_bytes (GBytes  *file,
                       GBytes  *log,
                       GError **error)
{
  g_autoptr (JournalSalvage) self = g_new0 (JournalSalvage, 1);
  g_autoptr (GByteArray) database = NULL;
  JournalLog read = { 0 };
  sqlite3 *db = NULL;
  guint steps = 0;
  gboolean ok;

  if (log != NULL)
    read = journal_log_read (log);

  self->tables = g_ptr_array_new_with_free_func (g_free);
  self->log_whole = !read.is_damaged;
  self->content = journal_new_in_memory (NULL, error);
  if (self->content == NULL)
    return NULL;

  database = put_together (file, log, &read);
  if (database != NULL)
    db = open_bytes (database, &steps);

  ok = copy_all (self, db, &steps, error);
  sqlite3_close (db);

  return ok ? g_steal_pointer (&self) : NULL;
}

/**
 * journal_dup_bytes:
 * @self: a journal that is open
 * @error: return location
 *
 * Reads by SQLite: whoever opens the file beside it takes away, by closing it, the locks that the
 * process has on it. The next one who looks at the file would then remove the log.
 *
 * Returns: (transfer full): what its file and log hold; %NULL with AGENT_ERROR_INTERNAL
 */
GBytes *
journal_dup_bytes (Journal  *self,
                   GError  **error)
{
  sqlite3_int64 size = 0;
  guint8 *bytes = sqlite3_serialize (self->db, "main", &size, 0);

  if (bytes == NULL)
    {
      journal_set_sqlite_error (error, self->db, self->path, "read");
      return NULL;
    }

  return g_bytes_new_with_free_func (bytes, (gsize) size, sqlite3_free, bytes);
}

/**
 * journal_salvage:
 * @path: the journal's name; the file need not be there, and nobody here has it open
 * @error: return location
 *
 * Returns: (transfer full): what could be read; %NULL with AGENT_ERROR_CONFLICT when it is of a
 *   newer
 *   version, or AGENT_ERROR_INTERNAL
 */
JournalSalvage *
journal_salvage (const char  *path,
                 GError     **error)
{
  g_autofree char *log_path = g_strconcat (path, "-wal", NULL);
  g_autoptr (GBytes) file = journal_read_file (path, error);
  g_autoptr (GBytes) log = file != NULL ? journal_read_file (log_path, error) : NULL;

  return log != NULL ? journal_salvage_bytes (file, log, error) : NULL;
}
