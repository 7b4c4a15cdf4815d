/* SPDX-License-Identifier: Apache-2.0 */

/* A journal that is torn, flipped, cut or gone: it is refused or read right, never guessed at; what
 * is read of it was written to it; and a new one takes its place whoever dies. */

#include "journal-log.h"
#include "journal-private.h"
#include "support.h"

#include <core/error.h>
#include <core/journal-rebuild.h>

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib/gstdio.h>

#define N_POINTS 60

typedef struct
{
  char *folder;
  char *path;
  char *log;
} Fixture;

static void
set_up (Fixture       *fixture,
        gconstpointer  data)
{
  fixture->folder = folder_new ();
  fixture->path = g_build_filename (fixture->folder, "journal", NULL);
  fixture->log = g_strconcat (fixture->path, "-wal", NULL);
}

static void
tear_down (Fixture       *fixture,
           gconstpointer  data)
{
  folder_remove (fixture->folder);
  g_free (fixture->folder);
  g_free (fixture->path);
  g_free (fixture->log);
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
assert_damaged (const char *path)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (journal_open (path, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_DAMAGED);
  g_assert_nonnull (strstr (error->message, path));
  g_assert_nonnull (strstr (agent_error_get_hint (error), "rebuild-journal"));
}

/* Each value tells of its row: a row that was mixed up shows. */
static void
add_point (Journal *journal,
           guint    i)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *id = g_strdup_printf ("point-%04u", i);
  g_autofree char *name = g_strdup_printf ("name-%04u-%0200u", i, i);
  g_autofree char *path = g_strdup_printf ("/disk.%04u", i);

  g_assert_true (journal_begin (journal, &error));
  g_assert_true (journal_write (journal, &error,
                                "INSERT INTO points (id, guest, name, created_us, operation,"
                                " quiesced) VALUES (?, 'g', ?, ?, ?, 0)", "ssis", id, name,
                                (gint64) 1000 + i, id));
  g_assert_true (journal_write (journal, &error,
                                "INSERT INTO point_disks (point, disk, path, dev, ino, born_ns,"
                                " virtual_size, allocated, format)"
                                " VALUES (?, 'd', ?, ?, ?, ?, 0, 0, 'qcow2')", "ssiii", id, path,
                                (gint64) 7, (gint64) 2000 + i, (gint64) 3000 + i));
  g_assert_true (journal_commit (journal, &error));
  g_assert_no_error (error);
}

static Journal *
make_journal (const char *path)
{
  Journal *journal = open_good (path);

  for (guint i = 0; i < N_POINTS; i++)
    add_point (journal, i);

  return journal;
}

typedef struct
{
  guint    n_rows;
  gboolean strict;
} Seen;

static void
see_point (JournalRow *row,
           gpointer    user_data)
{
  Seen *seen = user_data;
  guint i = (guint) (journal_row_int64 (row, 1) - 2000);
  g_autofree char *id = g_strdup_printf ("point-%04u", i);
  g_autofree char *path = g_strdup_printf ("/disk.%04u", i);

  seen->n_rows++;
  if (!seen->strict)
    return;
  g_assert_cmpstr (journal_row_text (row, 0), ==, id);
  g_assert_cmpstr (journal_row_text (row, 2), ==, path);
  g_assert_cmpint (journal_row_int64 (row, 3), ==, 3000 + i);
  g_assert_cmpint (journal_row_int64 (row, 4), ==, 1000 + i);
}

/* @strict: what is read was written; a byte flipped within a value cannot be told from one written.
 * */
static guint
count_points (JournalSalvage *salvage,
              gboolean        strict)
{
  g_autoptr (GError) error = NULL;
  Seen seen = { 0, strict };

  g_assert_true (journal_read (salvage->content, see_point, &seen, &error,
                               "SELECT p.id, d.ino, d.path, d.born_ns, p.created_us FROM points p"
                               " JOIN point_disks d ON d.point = p.id", ""));
  g_assert_no_error (error);

  return seen.n_rows;
}

static GBytes *
read_bytes (const char *path)
{
  g_autoptr (GError) error = NULL;
  GBytes *bytes = journal_read_file (path, &error);

  g_assert_no_error (error);

  return bytes;
}

static void
write_bytes (const char *path,
             GBytes     *bytes)
{
  g_assert_true (g_file_set_contents (path, g_bytes_get_data (bytes, NULL),
                                      (gssize) g_bytes_get_size (bytes), NULL));
}

static GBytes *
spoil (GBytes *bytes,
       gsize   from,
       gsize   length,
       guint8  with)
{
  gsize size;
  guint8 *copy = g_bytes_unref_to_data (g_bytes_ref (bytes), &size);

  memset (copy + from, with, MIN (length, size - from));

  return g_bytes_new_take (copy, size);
}

static guint
salvage_points (GBytes   *file,
                GBytes   *log,
                gboolean  strict)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JournalSalvage) salvage = journal_salvage_bytes (file, log, &error);

  g_assert_no_error (error);

  return count_points (salvage, strict);
}

/* The log of a daemon that was killed: nothing has been written back. */
static void
make_killed (Fixture  *fixture,
             GBytes  **file,
             GBytes  **log)
{
  Journal *journal = make_journal (fixture->path);

  *file = read_bytes (fixture->path);
  *log = read_bytes (fixture->log);
  g_object_unref (journal);
  g_assert_cmpuint (g_bytes_get_size (*log), >, 100000);
}

static void
test_log (Fixture       *fixture,
          gconstpointer  data)
{
  g_autoptr (GBytes) file = NULL;
  g_autoptr (GBytes) log = NULL;
  JournalLog whole;
  gsize frame;

  make_killed (fixture, &file, &log);
  whole = journal_log_read (log);
  frame = whole.page_size + 24;
  g_assert_cmpuint (whole.page_size, ==, 4096);
  g_assert_cmpuint (whole.n_frames, >, N_POINTS);
  g_assert_false (whole.is_damaged);
  g_assert_cmpuint (salvage_points (file, log, TRUE), ==, N_POINTS);

  for (gsize at = 0; at < g_bytes_get_size (log); at += 1501)
    {
      g_autoptr (GBytes) spoilt = spoil (log, at, 1, 0xa5);
      JournalLog read = journal_log_read (spoilt);
      gsize in_frame = at < 32 ? 0 : (at - 32) / frame;

      if (g_bytes_equal (spoilt, log))
        continue;
      g_assert_cmpuint (read.n_frames, <=, in_frame);
      /* The last transaction may be one that had not come to its end. */
      if (at < 32 || in_frame + 8 < whole.n_frames)
        g_assert_true (read.is_damaged);
      (void) salvage_points (file, spoilt, TRUE);
    }

  /* A log that ends anywhere is one that was on its way. */
  for (gsize length = 0; length < g_bytes_get_size (log); length += 3333)
    {
      g_autoptr (GBytes) cut = g_bytes_new_from_bytes (log, 0, length);

      g_assert_false (journal_log_read (cut).is_damaged);
    }
}

static void
test_log_refused (Fixture       *fixture,
                  gconstpointer  data)
{
  g_autoptr (GBytes) file = NULL;
  g_autoptr (GBytes) log = NULL;
  g_autoptr (GBytes) spoilt = NULL;
  g_autoptr (GBytes) after = NULL;
  g_autoptr (GBytes) after_log = NULL;

  make_killed (fixture, &file, &log);
  spoilt = spoil (log, g_bytes_get_size (log) / 2, 64, 0xa5);
  write_bytes (fixture->path, file);
  write_bytes (fixture->log, spoilt);
  assert_damaged (fixture->path);

  /* Not even looking has changed anything. */
  after = read_bytes (fixture->path);
  after_log = read_bytes (fixture->log);
  g_assert_true (g_bytes_equal (after, file));
  g_assert_true (g_bytes_equal (after_log, spoilt));

  /* A log without its journal. */
  write_bytes (fixture->log, log);
  g_assert_cmpint (g_unlink (fixture->path), ==, 0);
  assert_damaged (fixture->path);
  g_assert_false (g_file_test (fixture->path, G_FILE_TEST_EXISTS));

  write_bytes (fixture->path, file);
  g_object_unref (open_good (fixture->path));
}

/* A whole file without a log. */
static GBytes *
make_closed (Fixture *fixture)
{
  g_object_unref (make_journal (fixture->path));

  return read_bytes (fixture->path);
}

static void
test_pages (Fixture       *fixture,
            gconstpointer  data)
{
  g_autoptr (GBytes) file = make_closed (fixture);
  guint n_pages = (guint) (g_bytes_get_size (file) / 4096);
  guint best = 0;

  g_assert_cmpuint (salvage_points (file, NULL, TRUE), ==, N_POINTS);

  for (guint page = 0; page < n_pages; page++)
    {
      g_autoptr (GBytes) spoilt = spoil (file, page * 4096, 4096, 0x5a);
      g_autoptr (GError) error = NULL;
      g_autoptr (JournalSalvage) salvage = journal_salvage_bytes (spoilt, NULL, &error);
      guint n_points;

      g_assert_no_error (error);
      n_points = count_points (salvage, TRUE);
      best += n_points > 0 ? 1 : 0;
      g_assert_nonnull (salvage->problem);

      write_bytes (fixture->path, spoilt);
      assert_damaged (fixture->path);
    }

  /* All but the pages on the way to the rows. */
  g_assert_cmpuint (best, >=, n_pages - 6);
}

/* Whether both tables of points are said to be the newest. */
static gboolean
is_sound (const JournalSalvage *salvage)
{
  return journal_salvage_find_table (salvage, "points")->sound &&
         journal_salvage_find_table (salvage, "point_disks")->sound;
}

/* Pages that never came to the disk: what is there is older, and whole. */
static void
test_stale (Fixture       *fixture,
            gconstpointer  data)
{
  g_autoptr (GBytes) before = make_closed (fixture);
  g_autoptr (GBytes) after = NULL;
  g_autoptr (GArray) changed = g_array_new (FALSE, FALSE, sizeof (gsize));
  gsize size = g_bytes_get_size (before);
  const guint8 *old = g_bytes_get_data (before, NULL);
  guint n_back = 0;
  Journal *journal = open_good (fixture->path);

  g_assert_true (journal_write (journal, NULL, "DELETE FROM points WHERE id = 'point-0030'", ""));
  g_object_unref (journal);
  after = read_bytes (fixture->path);
  g_assert_cmpuint (g_bytes_get_size (after), ==, size);
  g_assert_cmpuint (salvage_points (after, NULL, TRUE), ==, N_POINTS - 1);

  for (gsize at = 0; at < size; at += 4096)
    {
      if (memcmp (old + at, (const guint8 *) g_bytes_get_data (after, NULL) + at, 4096) != 0)
        g_array_append_val (changed, at);
    }
  for (guint i = 0; i < changed->len * changed->len; i++)
    {
      gsize pages[] = { g_array_index (changed, gsize, i / changed->len),
                        g_array_index (changed, gsize, i % changed->len) };
      guint8 *mixed = g_bytes_unref_to_data (g_bytes_ref (after), &size);
      g_autoptr (GBytes) file = g_bytes_new_take (mixed, size);
      g_autoptr (JournalSalvage) salvage = NULL;

      for (guint j = 0; j < G_N_ELEMENTS (pages); j++)
        memcpy (mixed + pages[j], old + pages[j], 4096);
      salvage = journal_salvage_bytes (file, NULL, NULL);
      if (count_points (salvage, TRUE) < N_POINTS)
        continue;
      g_assert_false (is_sound (salvage));
      n_back++;
    }

  g_assert_cmpuint (n_back, >, 0);
}

static void
test_cut (Fixture       *fixture,
          gconstpointer  data)
{
  g_autoptr (GBytes) file = make_closed (fixture);

  for (gsize length = 1; length < g_bytes_get_size (file); length += 1777)
    {
      g_autoptr (GBytes) cut = g_bytes_new_from_bytes (file, 0, length);

      (void) salvage_points (cut, NULL, TRUE);
      write_bytes (fixture->path, cut);
      assert_damaged (fixture->path);
    }
}

/* Whatever is flipped: no crash, and what is said to be whole can be read. */
static void
test_flips (Fixture       *fixture,
            gconstpointer  data)
{
  g_autoptr (GBytes) file = make_closed (fixture);
  gsize size = g_bytes_get_size (file);

  for (guint i = 0; i < 200; i++)
    {
      gsize at = (gsize) g_test_rand_int_range (0, (gint32) size);
      g_autoptr (GBytes) spoilt = spoil (file, at, (gsize) g_test_rand_int_range (1, 9),
                                         (guint8) g_test_rand_int_range (0, 256));

      (void) salvage_points (spoilt, NULL, FALSE);
    }
  for (guint i = 0; i < 40; i++)
    {
      gsize at = (gsize) g_test_rand_int_range (0, (gint32) size);
      g_autoptr (GBytes) spoilt = spoil (file, at, 4, 0xee);
      g_autoptr (GError) error = NULL;
      g_autoptr (Journal) journal = NULL;

      write_bytes (fixture->path, spoilt);
      journal = journal_open (fixture->path, &error);
      /* A number of a version may have become a later one's. */
      if (journal == NULL && strstr (error->message, "knows them up to version") == NULL)
        g_assert_error (error, AGENT_ERROR, AGENT_ERROR_DAMAGED);
    }
}

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
test_rows (Fixture       *fixture,
           gconstpointer  data)
{
  static const char *const wrongs[] = {
    "INSERT INTO operations (id, kind, guest, state, request, plan, result, created_us)"
    " VALUES ('o', 'k', 'g', 'asleep', '{}', '{}', '{}', 1)",
    "INSERT INTO operations (id, kind, guest, state, request, plan, result, created_us)"
    " VALUES ('o', 'k', 'g', 'queued', '{}', '{\"a\":', '{}', 1)",
    "INSERT INTO operations (id, kind, guest, state, request, plan, result, created_us, disks)"
    " VALUES ('o', 'k', 'g', 'queued', '{}', '{}', '{}', 1, '{}')",
    "INSERT INTO guests VALUES ('a', '[]', 1)",
    "INSERT INTO steps VALUES ('nobody', 0, 'a', 'done', 1, 1, NULL)",
    "UPDATE point_disks SET path = 'relative' WHERE point = 'point-0001'",
    "UPDATE points SET metadata = 'x' WHERE id = 'point-0001'",
    "DELETE FROM points WHERE id = 'point-0001'",       /* foreign keys are off there */
    "DROP TABLE images",
  };
  g_autoptr (GBytes) file = make_closed (fixture);

  for (gsize i = 0; i < G_N_ELEMENTS (wrongs); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (JournalSalvage) salvage = NULL;

      write_bytes (fixture->path, file);
      execute (fixture->path, wrongs[i]);
      assert_damaged (fixture->path);
      salvage = journal_salvage (fixture->path, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (count_points (salvage, TRUE), >=, N_POINTS - 1);
    }
}

static void
test_older (Fixture       *fixture,
            gconstpointer  data)
{
  const char *const first[] = { journal_migrations[0], NULL };
  g_autoptr (GError) error = NULL;
  g_autoptr (JournalSalvage) salvage = NULL;
  sqlite3 *db = NULL;

  g_assert_cmpint (sqlite3_open (fixture->path, &db), ==, SQLITE_OK);
  g_assert_true (journal_migrate (db, "FILE", first, &error));
  g_assert_cmpint (sqlite3_exec (db, "INSERT INTO points VALUES ('p', 'g', 'n', 1, 'o', 0, NULL);"
                                     "INSERT INTO point_disks VALUES"
                                     " ('p', 'a', '/a.0', 1, 2, 3, 4, 'qcow2', NULL)",
                                 NULL, NULL, NULL), ==, SQLITE_OK);
  g_assert_cmpint (sqlite3_close (db), ==, SQLITE_OK);

  salvage = journal_salvage (fixture->path, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (count_points (salvage, FALSE), ==, 1);
}

static void
test_newer (Fixture       *fixture,
            gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  g_object_unref (make_journal (fixture->path));
  execute (fixture->path, "PRAGMA user_version = 77");
  g_assert_null (journal_salvage (fixture->path, &error));
  assert_error_says (error, AGENT_ERROR_CONFLICT, "version 77");
}

/* A lock of POSIX, as SQLite has it as long as it has the file. */
static gboolean
is_locked (const char *path)
{
  g_autofree char *locks = NULL;
  g_autofree char *file = NULL;
  g_auto (GStrv) lines = NULL;
  GStatBuf st;
  gboolean found = FALSE;

  g_assert_cmpint (g_stat (path, &st), ==, 0);
  file = g_strdup_printf (":%" G_GUINT64_FORMAT " ", (guint64) st.st_ino);
  g_assert_true (g_file_get_contents ("/proc/locks", &locks, NULL, NULL));
  lines = g_strsplit (locks, "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++)
    found = found || (strstr (lines[i], "POSIX") != NULL && strstr (lines[i], file) != NULL);

  return found;
}

static void
test_open (Fixture       *fixture,
           gconstpointer  data)
{
  g_autoptr (Journal) journal = make_journal (fixture->path);
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_true (is_locked (fixture->path));
  bytes = journal_dup_bytes (journal, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (salvage_points (bytes, NULL, TRUE), ==, N_POINTS);
  g_assert_true (is_locked (fixture->path));
}

/* --- a stand-in --- */

static void
test_stand_in (Fixture       *fixture,
               gconstpointer  data)
{
  g_autoptr (GBytes) file = make_closed (fixture);
  g_autoptr (GBytes) spoilt = NULL;
  g_autoptr (GBytes) after = NULL;
  g_autoptr (GError) why = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (Journal) journal = NULL;
  Seen seen = { 0, FALSE };

  execute (fixture->path, "INSERT INTO guests VALUES ('a', '{}', 1)");
  g_bytes_unref (file);
  file = read_bytes (fixture->path);
  spoilt = spoil (file, g_bytes_get_size (file) - 4096, 4096, 0x5a);
  write_bytes (fixture->path, spoilt);
  g_assert_null (journal_open (fixture->path, &why));
  g_assert_error (why, AGENT_ERROR, AGENT_ERROR_DAMAGED);

  journal = journal_open_damaged (fixture->path, why, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (journal_get_damage (journal)->message, ==, why->message);

  g_assert_false (journal_write (journal, &error, "DELETE FROM guests", ""));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_DAMAGED);
  g_clear_error (&error);
  g_assert_false (journal_begin (journal, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_DAMAGED);
  g_clear_error (&error);

  g_assert_true (journal_read (journal, see_point, &seen, &error,
                               "SELECT id, 0, 0, 0, 0 FROM points", ""));
  g_assert_cmpuint (seen.n_rows, ==, 0);
  g_assert_true (journal_read (journal, see_point, &seen, &error,
                               "SELECT id, 0, 0, 0, 0 FROM guests", ""));
  g_assert_cmpuint (seen.n_rows, ==, 1);

  /* It has the file as any other daemon has its own. */
  g_assert_null (journal_open (fixture->path, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
  g_clear_object (&journal);
  after = read_bytes (fixture->path);
  g_assert_true (g_bytes_equal (after, spoilt));
}

/* --- another one in its place --- */

static guint
count_rows (Journal *journal)
{
  g_autoptr (GError) error = NULL;
  Seen seen = { 0, FALSE };

  g_assert_true (journal_read (journal, see_point, &seen, &error,
                               "SELECT id, 0, 0, 0, 0 FROM points", ""));
  g_assert_no_error (error);

  return seen.n_rows;
}

static void
test_succeed (Fixture       *fixture,
              gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JournalSalvage) salvage = NULL;
  g_autoptr (GBytes) file = NULL;
  g_autoptr (GBytes) log = NULL;
  g_autoptr (GBytes) spoilt = NULL;
  g_autoptr (GBytes) kept_log = NULL;
  g_autofree char *kept = NULL;
  g_autofree char *kept_log_path = NULL;
  Journal *journal;
  guint n_points;

  make_killed (fixture, &file, &log);
  spoilt = spoil (log, g_bytes_get_size (log) / 2, 64, 0xa5);
  write_bytes (fixture->path, file);
  write_bytes (fixture->log, spoilt);
  g_assert_null (journal_open (fixture->path, &error));
  journal = journal_open_damaged (fixture->path, error, NULL);
  g_clear_error (&error);
  salvage = journal_salvage (fixture->path, &error);
  g_assert_no_error (error);
  n_points = count_points (salvage, TRUE);
  g_assert_cmpuint (n_points, >, 10);
  g_assert_cmpuint (n_points, <, N_POINTS);

  g_assert_true (journal_succeed (journal, salvage->content, &kept, &error));
  g_assert_no_error (error);
  g_assert_false (journal_write (journal, NULL, "DELETE FROM points", ""));
  g_object_unref (journal);

  journal = open_good (fixture->path);
  g_assert_cmpuint (count_rows (journal), ==, n_points);
  add_point (journal, 500);
  g_object_unref (journal);
  journal = open_good (fixture->path);
  g_assert_cmpuint (count_rows (journal), ==, n_points + 1);
  g_object_unref (journal);

  kept_log_path = g_strconcat (kept, "-wal", NULL);
  kept_log = read_bytes (kept_log_path);
  g_assert_true (g_bytes_equal (kept_log, spoilt));
}

/* The name that the file before it gets is told by the time at which the new one was made. */
static void
keep_beside (const char *path,
             const char *rebuilt)
{
  g_autoptr (GDateTime) when = NULL;
  g_autofree char *stamp = NULL;
  g_autofree char *kept = NULL;
  GStatBuf status;

  g_assert_cmpint (g_stat (rebuilt, &status), ==, 0);
  when = g_date_time_new_from_unix_utc (status.st_mtime);
  stamp = g_date_time_format (when, "%Y%m%dT%H%M%SZ");
  kept = g_strconcat (path, ".damaged-", stamp, NULL);
  g_unlink (kept);
  g_assert_cmpint (link (path, kept), ==, 0);
}

/* The steps by which the files change places, each of them the last before a death. */
static void
test_deaths (Fixture       *fixture,
             gconstpointer  data)
{
  g_autofree char *rebuilt = g_strconcat (fixture->path, ".rebuilt", NULL);
  g_autofree char *temporary = g_strconcat (rebuilt, ".tmp", NULL);
  g_autoptr (GBytes) file = NULL;
  g_autoptr (GBytes) log = NULL;
  g_autoptr (GBytes) fresh = NULL;

  g_object_unref (open_good (fixture->path));
  fresh = read_bytes (fixture->path);
  g_assert_cmpint (g_unlink (fixture->path), ==, 0);
  make_killed (fixture, &file, &log);

  for (guint step = 0; step < 5; step++)
    {
      g_autofree char *other = g_strdup_printf ("%s.moved-%u", fixture->path, step);
      Journal *journal;

      g_unlink (fixture->path);
      write_bytes (fixture->path, file);
      write_bytes (fixture->log, log);
      write_bytes (step == 0 ? temporary : rebuilt, fresh);
      if (step >= 2)
        g_assert_cmpint (g_rename (fixture->log, other), ==, 0);
      if (step >= 3)
        keep_beside (fixture->path, rebuilt);
      if (step == 4)
        g_assert_cmpint (g_rename (rebuilt, fixture->path), ==, 0);

      journal = open_good (fixture->path);
      g_assert_cmpuint (count_rows (journal), ==, step == 0 ? N_POINTS : 0);
      g_assert_false (g_file_test (rebuilt, G_FILE_TEST_EXISTS));
      g_object_unref (journal);
    }
}

#define ADD(name, func) g_test_add ("/journal-damage/" name, Fixture, NULL, set_up, func, tear_down)

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  ADD ("log", test_log);
  ADD ("log-refused", test_log_refused);
  ADD ("pages", test_pages);
  ADD ("stale", test_stale);
  ADD ("cut", test_cut);
  ADD ("flips", test_flips);
  ADD ("rows", test_rows);
  ADD ("older", test_older);
  ADD ("newer", test_newer);
  ADD ("open", test_open);
  ADD ("stand-in", test_stand_in);
  ADD ("succeed", test_succeed);
  ADD ("deaths", test_deaths);

  return g_test_run ();
}
