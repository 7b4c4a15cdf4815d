/* SPDX-License-Identifier: Apache-2.0 */

/* Knows when a file may be used as the journal: nobody else has it, it is ours, and it is whole. */

#include "journal-private.h"

#include <core/error.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib/gstdio.h>

/* Somebody with an SQLite shell may hold the file for a moment. The main loop stands still
 * meanwhile. */
#define BUSY_TIMEOUT_MS 1000

/**
 * journal_set_sqlite_error:
 * @error: return location
 * @db: (nullable): the database whose last call failed
 * @path: its name
 * @doing: what could not be done to it: "read", "write"
 *
 * Sets AGENT_ERROR_NO_SPACE, AGENT_ERROR_CONFLICT for a constraint, else AGENT_ERROR_INTERNAL.
 */
void
journal_set_sqlite_error (GError     **error,
                          sqlite3     *db,
                          const char  *path,
                          const char  *doing)
{
  AgentError code = AGENT_ERROR_INTERNAL;
  const char *hint = NULL;

  switch (sqlite3_errcode (db) & 0xff)
    {
    case SQLITE_FULL:
      code = AGENT_ERROR_NO_SPACE;
      hint = "make room on the file system of the state folder";
      break;
    case SQLITE_CONSTRAINT:
      code = AGENT_ERROR_CONFLICT;
      break;
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
      hint = "move the file away, or put a copy of it back; no guest's disk depends on it";
      break;
    default:
      break;
    }

  agent_set_error (error, code, hint, "cannot %s the journal %s: %s",
                   doing, path, sqlite3_errmsg (db));
}

static void
set_errno (GError     **error,
           const char  *path,
           const char  *doing,
           int          saved)
{
  agent_set_error (error, saved == ENOSPC ? AGENT_ERROR_NO_SPACE : AGENT_ERROR_INTERNAL,
                   "the state folder must be there, and the daemon must be allowed to write in it",
                   "cannot %s %s: %s", doing, path, g_strerror (saved));
}

static void
set_locked (GError     **error,
            const char  *path,
            int          lock)
{
  char text[16] = { 0 };
  gssize n_read = pread (lock, text, sizeof text - 1, 0);
  guint64 pid = n_read > 0 ? g_ascii_strtoull (text, NULL, 10) : 0;
  g_autofree char *who = pid > 0 ? g_strdup_printf ("the process %" G_GUINT64_FORMAT, pid)
                                 : g_strdup ("another process");

  agent_set_error (error, AGENT_ERROR_CONFLICT,
                   "stop that daemon first, or give this one another state folder",
                   "the journal %s is in use by %s", path, who);
}

/**
 * journal_lock_file:
 * @path: the journal's name
 * @lock: (out): a descriptor; the journal is ours until it is closed, which a death does as well
 * @error: return location
 *
 * Takes "@path.lock" and writes our process id into it. The file stays when it is given up:
 * removing it would let two processes lock two files of this name.
 *
 * Returns: %FALSE with AGENT_ERROR_CONFLICT, which names the process that has it,
 *   AGENT_ERROR_NO_SPACE or AGENT_ERROR_INTERNAL
 */
gboolean
journal_lock_file (const char  *path,
                   int         *lock,
                   GError     **error)
{
  g_autofree char *lock_path = g_strconcat (path, ".lock", NULL);
  g_autofree char *pid = g_strdup_printf ("%ld\n", (long) getpid ());
  gsize length = strlen (pid);
  int fd = g_open (lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

  if (fd < 0)
    {
      set_errno (error, lock_path, "open", errno);
      return FALSE;
    }

  if (flock (fd, LOCK_EX | LOCK_NB) < 0)
    {
      if (errno == EWOULDBLOCK)
        set_locked (error, path, fd);
      else
        set_errno (error, lock_path, "lock", errno);

      g_close (fd, NULL);
      return FALSE;
    }

  if (ftruncate (fd, 0) < 0 || pwrite (fd, pid, length, 0) != (gssize) length)
    {
      set_errno (error, lock_path, "write", errno);
      g_close (fd, NULL);
      return FALSE;
    }

  *lock = fd;

  return TRUE;
}

static gboolean
sync_folder (const char  *path,
             GError     **error)
{
  g_autofree char *folder = g_path_get_dirname (path);
  int fd = g_open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  int status = fd < 0 ? -1 : fsync (fd);

  if (status < 0)
    set_errno (error, folder, "sync", errno);

  if (fd >= 0)
    g_close (fd, NULL);

  return status == 0;
}

/**
 * journal_make_file:
 * @path: the journal's name
 * @error: return location
 *
 * Sees to it that the file is there, durably, and for its owner alone: requests may hold names that
 * are nobody else's business. SQLite gives the files beside it the same mode.
 *
 * Returns: %FALSE with AGENT_ERROR_NO_SPACE or AGENT_ERROR_INTERNAL
 */
gboolean
journal_make_file (const char  *path,
                   GError     **error)
{
  int fd = g_open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  int saved = errno;

  if (fd >= 0)
    {
      int status = fchmod (fd, 0600);

      saved = errno;
      g_close (fd, NULL);

      if (status == 0)
        return sync_folder (path, error);
    }

  set_errno (error, path, "open", saved);

  return FALSE;
}

static gboolean
query (sqlite3     *db,
       const char  *path,
       const char  *sql,
       char       **answer,
       GError     **error)
{
  sqlite3_stmt *statement = NULL;
  gboolean ok;

  ok = sqlite3_prepare_v2 (db, sql, -1, &statement, NULL) == SQLITE_OK &&
       sqlite3_step (statement) == SQLITE_ROW;

  if (ok)
    *answer = g_strdup ((const char *) sqlite3_column_text (statement, 0));
  else
    journal_set_sqlite_error (error, db, path, "read");

  sqlite3_finalize (statement);

  return ok;
}

/* An empty file is about to become ours; any other has our mark. */
static gboolean
check_owner (sqlite3     *db,
             const char  *path,
             GError     **error)
{
  g_autofree char *application = NULL;
  g_autofree char *tables = NULL;

  if (!query (db, path, "PRAGMA application_id", &application, error) ||
      !query (db, path, "SELECT count(*) FROM sqlite_schema", &tables, error))
    return FALSE;

  if (g_ascii_strtoll (application, NULL, 10) == JOURNAL_APPLICATION_ID ||
      (g_str_equal (application, "0") && g_str_equal (tables, "0")))
    return TRUE;

  agent_set_error (error, AGENT_ERROR_INTERNAL, "choose another state folder",
                   "%s is a database, but not a journal of qsnapd", path);

  return FALSE;
}

static gboolean
check_whole (sqlite3     *db,
             const char  *path,
             GError     **error)
{
  g_autofree char *answer = NULL;

  if (!query (db, path, "PRAGMA quick_check(1)", &answer, error))
    return FALSE;

  if (g_strcmp0 (answer, "ok") == 0)
    return TRUE;

  agent_set_error (error, AGENT_ERROR_INTERNAL,
                   "move the file away, or put a copy of it back; no guest's disk depends on it",
                   "the journal %s is damaged: %s", path, answer != NULL ? answer : "no answer");

  return FALSE;
}

static gboolean
prepare_file (sqlite3     *db,
              const char  *path,
              GError     **error)
{
  g_autofree char *mode = NULL;

  sqlite3_busy_timeout (db, BUSY_TIMEOUT_MS);

  if (!check_owner (db, path, error) || !check_whole (db, path, error))
    return FALSE;

  if (!query (db, path, "PRAGMA journal_mode = WAL", &mode, error))
    return FALSE;

  if (g_strcmp0 (mode, "wal") != 0)
    {
      agent_set_error (error, AGENT_ERROR_INTERNAL,
                       "the state folder must be on a local file system",
                       "the journal %s cannot have a write-ahead log: its mode is %s", path, mode);
      return FALSE;
    }

  if (sqlite3_exec (db, "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
                        "PRAGMA trusted_schema = OFF;", NULL, NULL, NULL) != SQLITE_OK)
    {
      journal_set_sqlite_error (error, db, path, "set up");
      return FALSE;
    }

  return TRUE;
}

/**
 * journal_open_file:
 * @path: the journal's name, a file that is there
 * @db: (out) (transfer full): the database
 * @error: return location
 *
 * Opens the file, checks that it is a journal and whole, and asks for durable writes.
 *
 * Returns: %FALSE with AGENT_ERROR_INTERNAL
 */
gboolean
journal_open_file (const char  *path,
                   sqlite3    **db,
                   GError     **error)
{
  sqlite3 *opened = NULL;

  if (sqlite3_open_v2 (path, &opened, SQLITE_OPEN_READWRITE | SQLITE_OPEN_EXRESCODE, NULL)
      != SQLITE_OK)
    {
      journal_set_sqlite_error (error, opened, path, "open");
      sqlite3_close (opened);
      return FALSE;
    }

  if (!prepare_file (opened, path, error))
    {
      sqlite3_close (opened);
      return FALSE;
    }

  *db = opened;

  return TRUE;
}
