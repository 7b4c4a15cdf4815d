/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the tables of the journal, and how an older journal becomes a newer one. A migration that
 * has been released is never changed: what is new goes into one more at the end. */

#include "journal-private.h"

#include <core/error.h>

/* Times are microseconds since 1970 (UTC) where the name ends in _us. JSON is kept as text. */
static const char version_1[] =
  "CREATE TABLE operations ("
  "  id              TEXT PRIMARY KEY NOT NULL,"
  "  kind            TEXT NOT NULL,"
  "  guest           TEXT NOT NULL,"
  "  disks           TEXT,"              /* JSON array; NULL: the whole guest */
  "  state           TEXT NOT NULL,"
  "  request         TEXT NOT NULL,"
  "  plan            TEXT NOT NULL,"
  "  result          TEXT NOT NULL,"
  "  error_word      TEXT,"
  "  error_message   TEXT,"
  "  error_hint      TEXT,"
  "  idempotency_key TEXT UNIQUE,"
  "  created_us      INTEGER NOT NULL,"
  "  started_us      INTEGER,"
  "  finished_us     INTEGER"
  ") STRICT;"

  "CREATE TABLE steps ("
  "  operation TEXT NOT NULL REFERENCES operations (id) ON DELETE CASCADE,"
  "  position  INTEGER NOT NULL,"
  "  name      TEXT NOT NULL,"
  "  state     TEXT NOT NULL,"
  "  begun_us  INTEGER,"
  "  ended_us  INTEGER,"
  "  error     TEXT,"
  "  PRIMARY KEY (operation, name)"
  ") STRICT, WITHOUT ROWID;"

  "CREATE TABLE guests ("
  "  id          TEXT PRIMARY KEY NOT NULL,"
  "  config      TEXT NOT NULL,"
  "  attached_us INTEGER NOT NULL"
  ") STRICT;"

  "CREATE TABLE points ("
  "  id         TEXT PRIMARY KEY NOT NULL,"
  "  guest      TEXT NOT NULL,"
  "  name       TEXT,"
  "  created_us INTEGER NOT NULL,"
  "  operation  TEXT NOT NULL,"          /* which may be forgotten before the point is */
  "  quiesced   INTEGER NOT NULL CHECK (quiesced IN (0, 1)),"
  "  metadata   TEXT"
  ") STRICT;"
  "CREATE INDEX points_by_guest ON points (guest, created_us);"

  "CREATE TABLE point_disks ("
  "  point        TEXT NOT NULL REFERENCES points (id) ON DELETE CASCADE,"
  "  disk         TEXT NOT NULL,"
  "  path         TEXT NOT NULL,"
  "  dev          INTEGER NOT NULL,"
  "  ino          INTEGER NOT NULL,"
  "  virtual_size INTEGER NOT NULL,"
  "  allocated    INTEGER NOT NULL,"
  "  format       TEXT NOT NULL,"
  "  image_id     TEXT,"                 /* NULL: not uploaded */
  "  PRIMARY KEY (point, disk)"
  ") STRICT, WITHOUT ROWID;"

  "CREATE TABLE images ("
  "  id             TEXT PRIMARY KEY NOT NULL,"
  "  store          TEXT NOT NULL,"
  "  guest          TEXT NOT NULL,"
  "  disk           TEXT NOT NULL,"
  "  layer_path     TEXT NOT NULL,"
  "  layer_dev      INTEGER NOT NULL,"
  "  layer_ino      INTEGER NOT NULL,"
  "  layer_size     INTEGER NOT NULL,"
  "  layer_mtime_ns INTEGER NOT NULL,"
  "  size           INTEGER,"
  "  md5            TEXT,"
  "  sha512         TEXT,"
  "  parent_image   TEXT,"               /* NULL: stands alone */
  "  format         TEXT NOT NULL,"
  "  created_us     INTEGER NOT NULL"
  ") STRICT;"
  "CREATE INDEX images_by_layer ON images (layer_dev, layer_ino);";

/* Points outlive their layers: what a layer holds may move to another file, and what is written to
 * holds no point any more. */
static const char version_2[] =
  "ALTER TABLE points ADD COLUMN"
  "  pinned INTEGER NOT NULL DEFAULT 0 CHECK (pinned IN (0, 1));"    /* never folded away */
  "ALTER TABLE points ADD COLUMN"
  "  disk_count INTEGER NOT NULL DEFAULT 0;"    /* when it was taken; 0: not known */

  "ALTER TABLE point_disks ADD COLUMN"
  "  born_ns INTEGER NOT NULL DEFAULT 0;"     /* of the file; 0: not known */

  "CREATE INDEX point_disks_by_layer ON point_disks (ino, dev);"
  "CREATE INDEX point_disks_by_image ON point_disks (image_id) WHERE image_id IS NOT NULL;"
  "CREATE INDEX images_by_parent ON images (parent_image);"

  /* A point of no disk is none. */
  "CREATE TRIGGER points_without_disks AFTER DELETE ON point_disks"
  "  WHEN NOT EXISTS (SELECT 1 FROM point_disks WHERE point = OLD.point)"
  "  BEGIN DELETE FROM points WHERE id = OLD.point; END;"

  /* The disks of guests as they were last seen: what is known of one that is shut off. */
  "CREATE TABLE guest_disks ("
  "  guest        TEXT NOT NULL,"
  "  disk         TEXT NOT NULL,"
  "  published    TEXT NOT NULL,"       /* what the guest is started from */
  "  path         TEXT NOT NULL,"       /* of the active layer, by its name for life */
  "  format       TEXT NOT NULL,"       /* of the active layer */
  "  virtual_size INTEGER NOT NULL,"
  "  aliases      TEXT NOT NULL,"       /* JSON: what else the disk is called */
  "  layers       TEXT NOT NULL,"       /* JSON: which file of the chain is of which format */
  "  seen_us      INTEGER NOT NULL,"
  "  PRIMARY KEY (guest, disk)"
  ") STRICT, WITHOUT ROWID;";

/* What is to be done in a store that could not be asked. */
static const char version_3[] =
  "CREATE TABLE unwanted_images ("
  "  id        TEXT PRIMARY KEY NOT NULL,"
  "  store     TEXT NOT NULL,"
  "  operation TEXT NOT NULL,"          /* which has made it; it may be forgotten before */
  "  why       TEXT NOT NULL,"          /* it was not deleted at once */
  "  since_us  INTEGER NOT NULL"
  ") STRICT;";

/* Until its disks are seen again, those of a guest are by name. */
static const char version_4[] =
  "ALTER TABLE guest_disks ADD COLUMN place INTEGER NOT NULL DEFAULT 0;";   /* among them */

const char *const journal_migrations[] = { version_1, version_2, version_3, version_4, NULL };

static gboolean
execute (sqlite3     *db,
         const char  *path,
         const char  *sql,
         GError     **error)
{
  if (sqlite3_exec (db, sql, NULL, NULL, NULL) == SQLITE_OK)
    return TRUE;

  journal_set_sqlite_error (error, db, path, "set up");

  return FALSE;
}

static gboolean
read_version (sqlite3     *db,
              const char  *path,
              guint       *version,
              GError     **error)
{
  sqlite3_stmt *statement = NULL;
  gboolean ok;

  ok = sqlite3_prepare_v2 (db, "PRAGMA user_version", -1, &statement, NULL) == SQLITE_OK &&
       sqlite3_step (statement) == SQLITE_ROW;

  if (ok)
    *version = (guint) MAX (sqlite3_column_int (statement, 0), 0);
  else
    journal_set_sqlite_error (error, db, path, "read");

  sqlite3_finalize (statement);

  return ok;
}

static gboolean
apply (sqlite3            *db,
       const char         *path,
       const char *const  *migrations,
       guint               from,
       guint               to,
       GError            **error)
{
  g_autofree char *marks = NULL;

  for (guint i = from; i < to; i++)
    {
      if (!execute (db, path, migrations[i], error))
        {
          g_prefix_error (error, "version %u of the tables: ", i + 1);
          return FALSE;
        }
    }

  marks = g_strdup_printf ("PRAGMA user_version = %u; PRAGMA application_id = %d;",
                           to, JOURNAL_APPLICATION_ID);

  return execute (db, path, marks, error);
}

/**
 * journal_migrate:
 * @db: an open database
 * @path: its name, for messages
 * @migrations: the SQL that leads from version 0 to 1, from 1 to 2, ... ended by %NULL
 * @error: return location
 *
 * Brings an empty or older database to the newest version, all in one transaction: when that fails
 * the database is what it was. A newer one is refused.
 *
 * Returns: %FALSE with AGENT_ERROR_INTERNAL or AGENT_ERROR_NO_SPACE
 */
gboolean
journal_migrate (sqlite3            *db,
                 const char         *path,
                 const char *const  *migrations,
                 GError            **error)
{
  guint newest = g_strv_length ((char **) migrations);
  guint version;

  if (!read_version (db, path, &version, error))
    return FALSE;

  if (version > newest)
    {
      agent_set_error (error, AGENT_ERROR_INTERNAL,
                       "install the newer version again, or choose another state folder",
                       "the journal %s has tables of version %u, and this version of qsnapd knows "
                       "them up to version %u", path, version, newest);
      return FALSE;
    }

  if (version == newest)
    return TRUE;

  if (!execute (db, path, "BEGIN IMMEDIATE", error))
    return FALSE;

  if (!apply (db, path, migrations, version, newest, error) ||
      !execute (db, path, "COMMIT", error))
    {
      sqlite3_exec (db, "ROLLBACK", NULL, NULL, NULL);
      return FALSE;
    }

  return TRUE;
}
