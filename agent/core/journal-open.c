/* SPDX-License-Identifier: Apache-2.0 */

/* Knows when a file may be used as the journal: nobody else has it, it is ours, and it is whole. */

#include "journal-log.h"
#include "journal-private.h"
#include "journal-tables.h"

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

#define PAGE_SIZE_MIN 512       /* bytes, SQLite's */
#define LOCK_TEXT_MAX 300       /* bytes: a number and a host's name */

/**
 * journal_set_damaged:
 * @error: return location
 * @path: the journal's name
 * @what: what is wrong with it
 *
 * Sets AGENT_ERROR_DAMAGED.
 */
void
journal_set_damaged (GError     **error,
                     const char  *path,
                     const char  *what)
{
  agent_set_error (error, AGENT_ERROR_DAMAGED,
                   "qsnap rebuild-journal makes a new one from what can be read of it, QEMU and "
                   "the files; no guest's disk depends on it",
                   "the journal %s is damaged: %s", path, what);
}

/**
 * journal_set_sqlite_error:
 * @error: return location
 * @db: (nullable): the database whose last call failed
 * @path: its name
 * @doing: what could not be done to it: "read", "write"
 *
 * Sets AGENT_ERROR_NO_SPACE, AGENT_ERROR_CONFLICT for a constraint, AGENT_ERROR_DAMAGED for what is
 * no whole database, else AGENT_ERROR_INTERNAL.
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
      journal_set_damaged (error, path, sqlite3_errmsg (db));
      return;
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

/* "PID HOST"; on a file system of several hosts a number alone would mislead. */
static void
set_locked (GError     **error,
            const char  *path,
            int          lock)
{
  char text[LOCK_TEXT_MAX + 1] = { 0 };
  gssize n_read = pread (lock, text, sizeof text - 1, 0);
  char *host = NULL;
  guint64 pid = n_read > 0 ? g_ascii_strtoull (text, &host, 10) : 0;
  g_autoptr (GString) who = g_string_new (NULL);

  if (pid == 0)
    g_string_append (who, "another process");
  else
    g_string_append_printf (who, "process %" G_GUINT64_FORMAT, pid);

  if (pid != 0 && g_utf8_validate (host, -1, NULL) && *g_strstrip (host) != '\0')
    g_string_append_printf (who, " on host %s", host);

  agent_set_error (error, AGENT_ERROR_CONFLICT,
                   "stop that daemon first, or give this one another state folder",
                   "the journal %s is in use by %s", path, who->str);
}

/**
 * journal_lock_file:
 * @path: the journal's name
 * @lock: (out): a descriptor; the journal is ours until it is closed, which a death does as well
 * @error: return location
 *
 * Takes "@path.lock" and writes our process id and host into it. The file stays when it is given
 * up: removing it would let two processes lock two files of this name.
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
  g_autofree char *pid = g_strdup_printf ("%ld %s\n", (long) getpid (), g_get_host_name ());
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

/**
 * journal_sync_folder:
 * @path: the journal's name
 * @error: return location
 *
 * Makes the names in its folder durable.
 *
 * Returns: %FALSE with AGENT_ERROR_NO_SPACE or AGENT_ERROR_INTERNAL
 */
gboolean
journal_sync_folder (const char  *path,
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
 * journal_keep_private:
 * @path: the journal's name, a file that is there
 * @error: return location
 *
 * Sees to it that the file is for its owner alone: requests may hold names that are nobody else's
 * business. SQLite gives the files beside it the same mode.
 *
 * Returns: %FALSE with AGENT_ERROR_INTERNAL
 */
gboolean
journal_keep_private (const char  *path,
                      GError     **error)
{
  if (g_chmod (path, 0600) == 0)
    return TRUE;

  set_errno (error, path, "open", errno);

  return FALSE;
}

/**
 * journal_read_file:
 * @path: a file
 * @error: return location
 *
 * Returns: (transfer full): what it holds; nothing where there is no file. %NULL with
 *   AGENT_ERROR_INTERNAL
 */
GBytes *
journal_read_file (const char  *path,
                   GError     **error)
{
  g_autoptr (GError) problem = NULL;
  char *contents = NULL;
  gsize length = 0;

  if (!g_file_get_contents (path, &contents, &length, &problem) &&
      !g_error_matches (problem, G_FILE_ERROR, G_FILE_ERROR_NOENT))
    {
      agent_set_error (error, AGENT_ERROR_INTERNAL, NULL, "%s", problem->message);
      return NULL;
    }

  return g_bytes_new_take (contents, length);
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

  journal_set_damaged (error, path, "it is a database, but not a journal of qsnapd");

  return FALSE;
}

static gboolean
check_whole (sqlite3     *db,
             const char  *path,
             GError     **error)
{
  g_autofree char *answer = NULL;

  if (!query (db, path, "PRAGMA integrity_check(1)", &answer, error))
    return FALSE;

  if (g_strcmp0 (answer, "ok") == 0)
    return TRUE;

  journal_set_damaged (error, path, answer != NULL ? answer : "no answer");

  return FALSE;
}

/* The rows of a version that we know. An empty file has none yet. */
static gboolean
check_version (sqlite3     *db,
               const char  *path,
               GError     **error)
{
  g_autofree char *answer = NULL;
  guint64 version;

  if (!query (db, path, "PRAGMA user_version", &answer, error))
    return FALSE;

  version = g_ascii_strtoull (answer, NULL, 10);

  return version > g_strv_length ((char **) journal_migrations) ||
         journal_check_rows (db, path, (guint) version, error);
}

/**
 * journal_check_log:
 * @path: the journal's name
 * @error: return location
 *
 * Looks at the log beside it before SQLite does, which would pass over what is damaged.
 *
 * Returns: %FALSE with AGENT_ERROR_DAMAGED when something durable cannot be read any more, or when
 *   there is a log, and no journal that it belongs to; AGENT_ERROR_INTERNAL
 */
gboolean
journal_check_log (const char  *path,
                   GError     **error)
{
  g_autofree char *log_path = g_strconcat (path, "-wal", NULL);
  g_autoptr (GBytes) log = NULL;
  JournalLog read;
  GStatBuf status;
  gboolean exists = g_stat (path, &status) == 0;

  log = journal_read_file (log_path, error);
  if (log == NULL)
    return FALSE;

  read = journal_log_read (log);

  /* SQLite would take a file that is cut off in its first page for a new one. */
  if (read.is_damaged)
    journal_set_damaged (error, path, "its write-ahead log is torn before its end");
  else if (!exists && read.n_frames > 0)
    journal_set_damaged (error, path, "only its write-ahead log is there");
  else if (exists && status.st_size < PAGE_SIZE_MIN)
    journal_set_damaged (error, path, "it is cut off");
  else
    return TRUE;

  return FALSE;
}

static gboolean
prepare_file (sqlite3     *db,
              const char  *path,
              GError     **error)
{
  g_autofree char *mode = NULL;

  sqlite3_busy_timeout (db, BUSY_TIMEOUT_MS);

  if (!check_owner (db, path, error) || !check_whole (db, path, error) ||
      !check_version (db, path, error))
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
 * Returns: %FALSE with AGENT_ERROR_DAMAGED or AGENT_ERROR_INTERNAL
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

  /* Who closes a file last writes its log into it: into one that is to be looked into, nothing. */
  sqlite3_db_config (opened, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);

  if (!prepare_file (opened, path, error))
    {
      sqlite3_close (opened);
      return FALSE;
    }

  sqlite3_db_config (opened, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
  *db = opened;

  return TRUE;
}
