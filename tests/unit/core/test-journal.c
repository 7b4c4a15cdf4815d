/* SPDX-License-Identifier: Apache-2.0 */

#include "journal-private.h"
#include "support.h"

#include <core/error.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib/gstdio.h>

typedef struct
{
  char *folder;
  char *path;
} Fixture;

static void
set_up (Fixture       *fixture,
        gconstpointer  data)
{
  fixture->folder = folder_new ();
  fixture->path = g_build_filename (fixture->folder, "journal", NULL);
}

static void
tear_down (Fixture       *fixture,
           gconstpointer  data)
{
  folder_remove (fixture->folder);
  g_free (fixture->folder);
  g_free (fixture->path);
}

static Journal *
open_good (const char *path)
{
  g_autoptr (GError) error = NULL;
  Journal *journal = journal_open (path, &error);

  g_assert_no_error (error);

  return journal;
}

static void
open_refused (const char *path,
              int         code,
              const char *complaint)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (journal_open (path, &error));
  assert_error_says (error, code, complaint);
  g_assert_nonnull (strstr (error->message, path));
  g_assert_nonnull (agent_error_get_hint (error));
}

/* The tables that the daemon itself has do for these tests. */
static gboolean
add_guest (Journal     *journal,
           const char  *id,
           gint64       when,
           GError     **error)
{
  return journal_write (journal, error,
                        "INSERT INTO guests (id, config, attached_us) VALUES (?, '{}', ?)", "si",
                        id, when);
}

static void
take_number (JournalRow *row,
             gpointer    user_data)
{
  *(gint64 *) user_data = journal_row_int64 (row, 0);
}

static gint64
read_number (Journal    *journal,
             const char *sql)
{
  g_autoptr (GError) error = NULL;
  gint64 number = -1;

  g_assert_true (journal_read (journal, take_number, &number, &error, sql, ""));
  g_assert_no_error (error);

  return number;
}

static gint64
count_guests (Journal *journal)
{
  return read_number (journal, "SELECT count(*) FROM guests");
}

static void
test_files (Fixture       *fixture,
            gconstpointer  data)
{
  g_autoptr (Journal) journal = open_good (fixture->path);
  static const char *const suffixes[] = { "", "-wal", "-shm", ".lock" };

  g_assert_true (add_guest (journal, "a", 1, NULL));

  for (gsize i = 0; i < G_N_ELEMENTS (suffixes); i++)
    {
      g_autofree char *path = g_strconcat (fixture->path, suffixes[i], NULL);
      struct stat status;

      g_assert_cmpint (stat (path, &status), ==, 0);
      g_assert_cmpuint (status.st_mode & 0777, ==, 0600);
    }

  g_assert_cmpint (read_number (journal, "PRAGMA synchronous"), ==, 2);
  g_assert_cmpint (read_number (journal, "PRAGMA foreign_keys"), ==, 1);
  g_assert_cmpint (read_number (journal, "PRAGMA application_id"), ==, JOURNAL_APPLICATION_ID);
  g_assert_cmpint (read_number (journal, "PRAGMA user_version"), ==,
                   g_strv_length ((char **) journal_migrations));
}

static void
test_mode_is_mended (Fixture       *fixture,
                     gconstpointer  data)
{
  Journal *journal = open_good (fixture->path);
  struct stat status;

  g_object_unref (journal);
  g_assert_cmpint (g_chmod (fixture->path, 0644), ==, 0);
  journal = open_good (fixture->path);
  g_assert_cmpint (stat (fixture->path, &status), ==, 0);
  g_assert_cmpuint (status.st_mode & 0777, ==, 0600);
  g_object_unref (journal);
}

typedef struct
{
  char     *text;
  gint64    number;
  JsonNode *json;
  guint     n_rows;
} Row;

static void
take_row (JournalRow *row,
          gpointer    user_data)
{
  Row *taken = user_data;

  taken->text = g_strdup (journal_row_text (row, 0));
  taken->number = journal_row_int64 (row, 1);
  taken->json = journal_row_json (row, 2);
  taken->n_rows++;
}

static void
test_values (Fixture       *fixture,
             gconstpointer  data)
{
  g_autoptr (Journal) journal = open_good (fixture->path);
  g_autoptr (JsonNode) json = json_from_string ("{\"a\":[1,\"'; DROP TABLE points\"]}", NULL);
  g_autoptr (GError) error = NULL;
  Row row = { 0 };

  g_assert_true (journal_write (journal, &error,
                                "INSERT INTO points (id, guest, name, created_us, operation,"
                                " quiesced, metadata) VALUES (?, ?, ?, ?, 'o', 0, ?)", "sssij",
                                "p1", "g'; --", NULL, G_MININT64, json));
  g_assert_no_error (error);

  g_assert_true (journal_read (journal, take_row, &row, &error,
                               "SELECT guest, created_us, metadata FROM points WHERE id = ?", "s",
                               "p1"));
  g_assert_cmpuint (row.n_rows, ==, 1);
  g_assert_cmpstr (row.text, ==, "g'; --");
  g_assert_cmpint (row.number, ==, G_MININT64);
  g_assert_true (json_node_equal (row.json, json));
  g_free (row.text);
  json_node_unref (row.json);

  g_assert_true (journal_read (journal, take_row, &row, &error,
                               "SELECT name, name, name FROM points", ""));
  g_assert_cmpuint (row.n_rows, ==, 2);
  g_assert_null (row.text);
  g_assert_cmpint (row.number, ==, 0);
  g_assert_null (row.json);
}

static void
test_wrong_use (Fixture       *fixture,
                gconstpointer  data)
{
  g_autoptr (Journal) journal = open_good (fixture->path);
  g_autoptr (GError) error = NULL;

  g_assert_false (journal_write (journal, &error, "DELETE FROM guests WHERE id = ?", ""));
  assert_error_says (error, AGENT_ERROR_INTERNAL, "1 values are wanted");
  g_clear_error (&error);
  g_assert_false (journal_write (journal, &error, "DELETE FROM guests WHERE id = ?", "x", 1));
  assert_error_says (error, AGENT_ERROR_INTERNAL, "'x'");
  g_clear_error (&error);
  g_assert_false (journal_write (journal, &error, "DELETE FROM nowhere", ""));
  assert_error_says (error, AGENT_ERROR_INTERNAL, "no such table");
  g_clear_error (&error);

  g_assert_true (add_guest (journal, "a", 1, &error));
  g_assert_false (add_guest (journal, "a", 2, &error));
  assert_error_says (error, AGENT_ERROR_CONFLICT, "UNIQUE");
  g_clear_error (&error);

  g_assert_false (journal_write (journal, &error,
                                 "INSERT INTO steps (operation, position, name, state)"
                                 " VALUES ('nobody', 0, 'n', 's')", ""));
  assert_error_says (error, AGENT_ERROR_CONFLICT, "FOREIGN KEY");
}

typedef struct
{
  Journal *journal;
  guint    n_rows;
} Nested;

static void
read_again (JournalRow *row,
            gpointer    user_data)
{
  Nested *nested = user_data;

  if (nested->n_rows++ < 3)
    g_assert_true (journal_read (nested->journal, read_again, nested, NULL,
                                 "SELECT id FROM guests", ""));
}

static void
test_same_statement_nested (Fixture       *fixture,
                            gconstpointer  data)
{
  g_autoptr (Journal) journal = open_good (fixture->path);
  Nested nested = { journal, 0 };

  g_assert_true (add_guest (journal, "a", 1, NULL));
  g_assert_true (add_guest (journal, "b", 1, NULL));
  g_assert_true (journal_read (journal, read_again, &nested, NULL, "SELECT id FROM guests", ""));
  g_assert_cmpuint (nested.n_rows, ==, 8);
}

static void
test_transaction (Fixture       *fixture,
                  gconstpointer  data)
{
  Journal *journal = open_good (fixture->path);
  g_autoptr (GError) error = NULL;

  g_assert_true (journal_begin (journal, NULL));
  g_assert_true (add_guest (journal, "a", 1, NULL));
  g_assert_true (journal_commit (journal, NULL));

  g_assert_true (journal_begin (journal, NULL));
  g_assert_true (add_guest (journal, "b", 1, NULL));
  g_assert_false (journal_begin (journal, &error));
  assert_error_says (error, AGENT_ERROR_INTERNAL, "within a transaction");
  journal_rollback (journal);
  journal_rollback (journal);
  g_assert_cmpint (count_guests (journal), ==, 1);

  /* What was not committed is gone with the one who wrote it. */
  g_assert_true (journal_begin (journal, NULL));
  g_assert_true (add_guest (journal, "c", 1, NULL));
  g_object_unref (journal);
  journal = open_good (fixture->path);
  g_assert_cmpint (count_guests (journal), ==, 1);
  g_object_unref (journal);
}

typedef struct
{
  guint n_calls;
  guint refused;                /* which one, from 1 */
} Hook;

static gboolean
on_write (Journal   *journal,
          gpointer   user_data,
          GError   **error)
{
  Hook *hook = user_data;

  if (++hook->n_calls != hook->refused)
    return TRUE;

  agent_set_error (error, AGENT_ERROR_NO_SPACE, NULL, "refused");

  return FALSE;
}

static void
test_hook (Fixture       *fixture,
           gconstpointer  data)
{
  g_autoptr (Journal) journal = open_good (fixture->path);
  g_autoptr (GError) error = NULL;
  Hook hook = { 0, 2 };

  journal_set_hook (journal, on_write, &hook);

  g_assert_true (journal_begin (journal, NULL));
  g_assert_true (add_guest (journal, "a", 1, NULL));
  g_assert_true (add_guest (journal, "b", 1, NULL));
  g_assert_cmpuint (hook.n_calls, ==, 0);
  g_assert_true (journal_commit (journal, NULL));
  g_assert_cmpuint (hook.n_calls, ==, 1);

  g_assert_false (add_guest (journal, "c", 1, &error));
  assert_error_says (error, AGENT_ERROR_NO_SPACE, "refused");
  g_clear_error (&error);
  g_assert_cmpint (count_guests (journal), ==, 2);

  hook.refused = 3;
  g_assert_true (journal_begin (journal, NULL));
  g_assert_true (add_guest (journal, "d", 1, NULL));
  g_assert_false (journal_commit (journal, &error));
  assert_error_says (error, AGENT_ERROR_NO_SPACE, "refused");
  g_assert_cmpint (count_guests (journal), ==, 2);

  /* A refused commit leaves no transaction behind. */
  g_assert_true (add_guest (journal, "e", 1, NULL));
  g_assert_cmpint (count_guests (journal), ==, 3);
}

static void
test_no_space (Fixture       *fixture,
               gconstpointer  data)
{
  g_autoptr (Journal) journal = open_good (fixture->path);
  g_autofree char *large = g_strnfill (1024 * 1024, 'x');
  g_autoptr (GError) error = NULL;

  g_assert_true (journal_write (journal, NULL, "PRAGMA max_page_count = 40", ""));
  g_assert_true (journal_begin (journal, NULL));
  g_assert_false (add_guest (journal, large, 1, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_NO_SPACE);
  journal_rollback (journal);
  g_assert_true (add_guest (journal, "small", 1, NULL));
}

static void
test_second_daemon (Fixture       *fixture,
                    gconstpointer  data)
{
  g_autoptr (Journal) journal = open_good (fixture->path);
  g_autofree char *who = g_strdup_printf ("in use by process %ld on host", (long) getpid ());
  g_autoptr (GError) error = NULL;

  g_assert_null (journal_open (fixture->path, &error));
  assert_error_says (error, AGENT_ERROR_CONFLICT, who);
  g_assert_true (add_guest (journal, "a", 1, NULL));
}

/* Runs @path's journal in a process of its own until that is killed; returns its id. */
static pid_t
hold_elsewhere (const char *path)
{
  int ready[2];
  char byte;
  pid_t child;

  g_assert_cmpint (pipe (ready), ==, 0);
  child = fork ();

  if (child == 0)
    {
      Journal *journal = journal_open (path, NULL);

      if (journal == NULL || !add_guest (journal, "durable", 1, NULL) ||
          !journal_begin (journal, NULL) || !add_guest (journal, "not durable", 1, NULL) ||
          write (ready[1], "r", 1) != 1)
        _exit (1);

      pause ();
      _exit (0);
    }

  close (ready[1]);
  g_assert_cmpint (read (ready[0], &byte, 1), ==, 1);
  close (ready[0]);

  return child;
}

static void
test_killed_daemon (Fixture       *fixture,
                    gconstpointer  data)
{
  pid_t child = hold_elsewhere (fixture->path);
  g_autofree char *who = g_strdup_printf ("in use by process %ld on host", (long) child);
  g_autoptr (Journal) journal = NULL;
  g_autoptr (GError) error = NULL;
  int status;

  g_assert_null (journal_open (fixture->path, &error));
  assert_error_says (error, AGENT_ERROR_CONFLICT, who);

  g_assert_cmpint (kill (child, SIGKILL), ==, 0);
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);

  journal = open_good (fixture->path);
  g_assert_cmpint (count_guests (journal), ==, 1);
}

static void
copy_file (const char *from,
           const char *to,
           gssize      cut)
{
  g_autofree char *contents = NULL;
  gsize length;

  g_assert_true (g_file_get_contents (from, &contents, &length, NULL));
  g_assert_cmpuint (length, >, (gsize) cut);
  g_assert_true (g_file_set_contents (to, contents, (gssize) length - cut, NULL));
}

/* The machine stopped while the last write was on its way to the disk: what was durable before is
 * there. */
static void
test_torn (Fixture       *fixture,
           gconstpointer  data)
{
  g_autofree char *wal = g_strconcat (fixture->path, "-wal", NULL);
  g_autofree char *copy = g_build_filename (fixture->folder, "copy", NULL);
  g_autofree char *copy_wal = g_strconcat (copy, "-wal", NULL);
  static const gssize cuts[] = { 0, 1, 100, 4095, 4096 };
  Journal *journal = open_good (fixture->path);

  g_assert_true (add_guest (journal, "a", 1, NULL));
  g_assert_true (add_guest (journal, "b", 1, NULL));

  for (gsize i = 0; i < G_N_ELEMENTS (cuts); i++)
    {
      g_autoptr (Journal) torn = NULL;

      copy_file (fixture->path, copy, 0);
      copy_file (wal, copy_wal, cuts[i]);
      torn = open_good (copy);
      g_assert_cmpint (count_guests (torn), ==, cuts[i] == 0 ? 2 : 1);
      g_assert_true (add_guest (torn, "c", 1, NULL));
    }

  g_object_unref (journal);
}

static void
test_garbage (Fixture       *fixture,
              gconstpointer  data)
{
  g_autofree char *noise = g_strnfill (8192, '?');

  g_assert_true (g_file_set_contents (fixture->path, noise, 8192, NULL));
  open_refused (fixture->path, AGENT_ERROR_DAMAGED, "not a database");
}

static void
test_damaged (Fixture       *fixture,
              gconstpointer  data)
{
  Journal *journal = open_good (fixture->path);
  g_autofree char *contents = NULL;
  gsize length;

  for (int i = 0; i < 500; i++)
    {
      g_autofree char *id = g_strdup_printf ("guest-%d", i);

      g_assert_true (journal_begin (journal, NULL));
      g_assert_true (add_guest (journal, id, i, NULL));
      g_assert_true (journal_commit (journal, NULL));
    }

  g_object_unref (journal);

  /* The schema stays readable; pages of the tables do not. */
  g_assert_true (g_file_get_contents (fixture->path, &contents, &length, NULL));
  g_assert_cmpuint (length, >=, 20 * 4096);
  memset (contents + length - 8 * 4096, 0x5a, 8 * 4096);
  g_assert_true (g_file_set_contents (fixture->path, contents, (gssize) length, NULL));
  open_refused (fixture->path, AGENT_ERROR_DAMAGED, "damaged");
}

/* Works on a file with SQLite itself, as another version or another program would. */
static void
execute (const char *path,
         const char *sql)
{
  sqlite3 *db = NULL;

  g_assert_cmpint (sqlite3_open (path, &db), ==, SQLITE_OK);
  g_assert_cmpint (sqlite3_exec (db, sql, NULL, NULL, NULL), ==, SQLITE_OK);
  g_assert_cmpint (sqlite3_close (db), ==, SQLITE_OK);
}

static void
test_foreign (Fixture       *fixture,
              gconstpointer  data)
{
  execute (fixture->path, "CREATE TABLE bookmarks (url TEXT)");
  open_refused (fixture->path, AGENT_ERROR_DAMAGED, "not a journal of qsnapd");
}

static void
test_newer (Fixture       *fixture,
            gconstpointer  data)
{
  g_autofree char *complaint = NULL;

  g_object_unref (open_good (fixture->path));
  execute (fixture->path, "PRAGMA user_version = 77");
  complaint = g_strdup_printf ("tables of version 77, and this version of qsnapd knows them up to "
                               "version %u", g_strv_length ((char **) journal_migrations));
  open_refused (fixture->path, AGENT_ERROR_INTERNAL, complaint);
}

static void
test_no_folder (Fixture       *fixture,
                gconstpointer  data)
{
  g_autofree char *path = g_build_filename (fixture->folder, "missing", "journal", NULL);

  open_refused (path, AGENT_ERROR_INTERNAL, "No such file");
}

static gint64
ask (sqlite3    *db,
     const char *sql)
{
  sqlite3_stmt *statement = NULL;
  gint64 answer = -1;

  if (sqlite3_prepare_v2 (db, sql, -1, &statement, NULL) == SQLITE_OK &&
      sqlite3_step (statement) == SQLITE_ROW)
    answer = sqlite3_column_int64 (statement, 0);

  sqlite3_finalize (statement);

  return answer;
}

/* An older journal goes through all that it lacks, or through nothing. */
static void
test_migrations (Fixture       *fixture,
                 gconstpointer  data)
{
  static const char *const old[] = { "CREATE TABLE a (x)", NULL };
  static const char *const broken[] = {
    "CREATE TABLE a (x)", "CREATE TABLE b (x); INSERT INTO a VALUES (2)", "CREATE TABEL c (x)", NULL
  };
  static const char *const mended[] = {
    "CREATE TABLE a (x)", "CREATE TABLE b (x); INSERT INTO a VALUES (2)", "CREATE TABLE c (x)", NULL
  };
  g_autoptr (GError) error = NULL;
  sqlite3 *db = NULL;

  g_assert_cmpint (sqlite3_open (fixture->path, &db), ==, SQLITE_OK);
  g_assert_true (journal_migrate (db, "FILE", old, &error));
  g_assert_cmpint (ask (db, "PRAGMA user_version"), ==, 1);
  g_assert_cmpint (ask (db, "PRAGMA application_id"), ==, JOURNAL_APPLICATION_ID);
  g_assert_cmpint (sqlite3_exec (db, "INSERT INTO a VALUES (1)", NULL, NULL, NULL), ==, SQLITE_OK);

  g_assert_false (journal_migrate (db, "FILE", broken, &error));
  assert_error_says (error, AGENT_ERROR_INTERNAL, "version 3 of the tables");
  g_clear_error (&error);
  g_assert_cmpint (ask (db, "PRAGMA user_version"), ==, 1);
  g_assert_cmpint (ask (db, "SELECT count(*) FROM a"), ==, 1);
  g_assert_cmpint (ask (db, "SELECT count(*) FROM sqlite_schema WHERE name = 'b'"), ==, 0);

  g_assert_true (journal_migrate (db, "FILE", mended, &error));
  g_assert_cmpint (ask (db, "PRAGMA user_version"), ==, 3);
  g_assert_cmpint (ask (db, "SELECT count(*) FROM a"), ==, 2);
  g_assert_cmpint (ask (db, "SELECT count(*) FROM c"), ==, 0);

  g_assert_false (journal_migrate (db, "FILE", old, &error));
  assert_error_says (error, AGENT_ERROR_INTERNAL, "version 3");

  g_assert_cmpint (sqlite3_close (db), ==, SQLITE_OK);
}

/* A journal of the first version keeps its points; those of no disk are none from then on. */
static void
test_second_version (Fixture       *fixture,
                     gconstpointer  data)
{
  const char *const first[] = { journal_migrations[0], NULL };
  g_autoptr (Journal) journal = NULL;
  g_autoptr (GError) error = NULL;
  sqlite3 *db = NULL;

  g_assert_cmpint (sqlite3_open (fixture->path, &db), ==, SQLITE_OK);
  g_assert_true (journal_migrate (db, "FILE", first, &error));
  g_assert_no_error (error);
  g_assert_cmpint (sqlite3_exec (db,
                                 "INSERT INTO points VALUES ('p', 'g', 'n', 1, 'o', 0, NULL);"
                                 "INSERT INTO point_disks VALUES"
                                 " ('p', 'a', '/a.0', 1, 2, 3, 4, 'qcow2', NULL),"
                                 " ('p', 'b', '/b.0', 1, 5, 3, 4, 'qcow2', 'i')",
                                 NULL, NULL, NULL), ==, SQLITE_OK);
  g_assert_cmpint (sqlite3_close (db), ==, SQLITE_OK);

  journal = open_good (fixture->path);
  g_assert_cmpint (read_number (journal, "SELECT count(*) FROM points WHERE pinned = 0"), ==, 1);
  g_assert_cmpint (read_number (journal, "SELECT count(*) FROM point_disks WHERE born_ns = 0"), ==,
                   2);
  g_assert_true (journal_write (journal, &error, "DELETE FROM point_disks WHERE disk = 'a'", ""));
  g_assert_cmpint (read_number (journal, "SELECT count(*) FROM points"), ==, 1);
  g_assert_true (journal_write (journal, &error, "DELETE FROM point_disks WHERE disk = 'b'", ""));
  g_assert_no_error (error);
  g_assert_cmpint (read_number (journal, "SELECT count(*) FROM points"), ==, 0);

  g_assert_cmpint (read_number (journal, "SELECT count(*) FROM guest_disks"), ==, 0);
}

/* What is known of disks stays known. */
static void
test_fourth_version (Fixture       *fixture,
                     gconstpointer  data)
{
  const char *const third[] = {
    journal_migrations[0], journal_migrations[1], journal_migrations[2], NULL
  };
  g_autoptr (Journal) journal = NULL;
  g_autoptr (GError) error = NULL;
  sqlite3 *db = NULL;

  g_assert_cmpint (sqlite3_open (fixture->path, &db), ==, SQLITE_OK);
  g_assert_true (journal_migrate (db, "FILE", third, &error));
  g_assert_no_error (error);
  g_assert_cmpint (sqlite3_exec (db,
                                 "INSERT INTO guest_disks VALUES"
                                 " ('g', 'a', '/a', '/a.1', 'qcow2', 5, '[]', '[]', 6)",
                                 NULL, NULL, NULL), ==, SQLITE_OK);
  g_assert_cmpint (sqlite3_close (db), ==, SQLITE_OK);

  journal = open_good (fixture->path);
  g_assert_cmpint (read_number (journal, "SELECT count(*) FROM guest_disks WHERE place = 0"), ==,
                   1);
}

/* The daemon dies in the middle of a migration: the journal is the older one, with all its rows,
 * and the next start goes through all of it. */
static void
test_killed_migration (Fixture       *fixture,
                       gconstpointer  data)
{
  const char *const first[] = { journal_migrations[0], NULL };
  g_autoptr (Journal) journal = NULL;
  g_autoptr (GError) error = NULL;
  sqlite3 *db = NULL;
  pid_t child;
  int status;

  g_assert_cmpint (sqlite3_open (fixture->path, &db), ==, SQLITE_OK);
  g_assert_cmpint (sqlite3_exec (db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL), ==, SQLITE_OK);
  g_assert_true (journal_migrate (db, "FILE", first, &error));
  g_assert_no_error (error);
  g_assert_cmpint (sqlite3_exec (db, "INSERT INTO guests VALUES ('g', '{}', 1)", NULL, NULL, NULL),
                   ==, SQLITE_OK);
  g_assert_cmpint (sqlite3_close (db), ==, SQLITE_OK);

  child = fork ();
  if (child == 0)
    {
      /* Its pages are in the log by then, for want of room elsewhere. */
      if (sqlite3_open (fixture->path, &db) != SQLITE_OK ||
          sqlite3_exec (db, "PRAGMA cache_size = 1; BEGIN IMMEDIATE", NULL, NULL, NULL)
          != SQLITE_OK ||
          sqlite3_exec (db, journal_migrations[1], NULL, NULL, NULL) != SQLITE_OK)
        _exit (1);
      raise (SIGKILL);
    }
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  g_assert_true (WIFSIGNALED (status));

  journal = open_good (fixture->path);
  g_assert_cmpint (count_guests (journal), ==, 1);
  g_assert_cmpint (read_number (journal, "PRAGMA user_version"), ==,
                   g_strv_length ((char **) journal_migrations));
  g_assert_cmpint (read_number (journal, "SELECT count(*) FROM guest_disks"), ==, 0);
}

#define ADD(name, func) g_test_add ("/journal/" name, Fixture, NULL, set_up, func, tear_down)

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  ADD ("files", test_files);
  ADD ("mode-is-mended", test_mode_is_mended);
  ADD ("values", test_values);
  ADD ("wrong-use", test_wrong_use);
  ADD ("same-statement-nested", test_same_statement_nested);
  ADD ("transaction", test_transaction);
  ADD ("hook", test_hook);
  ADD ("no-space", test_no_space);
  ADD ("second-daemon", test_second_daemon);
  ADD ("killed-daemon", test_killed_daemon);
  ADD ("torn", test_torn);
  ADD ("garbage", test_garbage);
  ADD ("damaged", test_damaged);
  ADD ("foreign", test_foreign);
  ADD ("newer", test_newer);
  ADD ("no-folder", test_no_folder);
  ADD ("migrations", test_migrations);
  ADD ("second-version", test_second_version);
  ADD ("fourth-version", test_fourth_version);
  ADD ("killed-migration", test_killed_migration);

  return g_test_run ();
}
