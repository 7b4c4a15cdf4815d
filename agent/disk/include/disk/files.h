/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* The few things that are done to files, each durable when it returns, each a success when it is
 * found done. They block: call them from a worker thread. Errors: AGENT_ERROR CONFLICT, NO_SPACE,
 * INTERNAL with the path and errno's words. */

/* Which file a path names now. Symbolic links are followed. */
typedef struct
{
  guint64  dev;
  guint64  ino;
  guint64  size;                /* bytes; a block device's too */
  guint64  allocated;           /* bytes */
  gint64   mtime_ns;
  gint64   born_ns;             /* 0: not known. Another file of that number has another birth */
  gboolean block_device;
} FileFacts;

/* Whether it is the file that a plan names; an @ino of 0 names none. */
gboolean file_facts_are    (const FileFacts *self, gint64 dev, gint64 ino);
/* Whether both are of one file. */
gboolean file_facts_agree  (const FileFacts *self, const FileFacts *other);

/* FALSE without error when nothing is there. */
gboolean files_look        (const char *path, FileFacts *facts, GError **error);

/* Gives the file (@dev, @ino) that @from names the second name @to. AGENT_ERROR_CONFLICT when
 * either is another file. */
gboolean files_link        (const char *from, const char *to, guint64 dev, guint64 ino,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Writes a new file (O_EXCL) with owner, mode and security label of @like; nothing is left behind
 * on failure. */
gboolean files_create      (const char *path, GBytes *contents, const char *like, FileFacts *facts,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Makes @published name the file that @layer names: link to a temporary name, rename over, fsync of
 * the folder. @published must be the inode @old_ino or already the new one (0: or nothing). */
gboolean files_publish     (const char *layer, const char *published, guint64 old_ino,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Unlinks @path when it is the inode given. */
gboolean files_remove      (const char *path, guint64 dev, guint64 ino,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Whether some QEMU has the file open: by its locks. */
gboolean files_in_use      (const char *path, gboolean *in_use,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Keeps every QEMU from opening the file until the descriptor is closed. AGENT_ERROR_CONFLICT when
 * somebody has it open, or it is not the inode given. Returns -1 with @error. */
int      files_claim       (const char *path, guint64 dev, guint64 ino,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* The same two for a block device, which may also be mounted, or a part of another. */
gboolean files_device_in_use (const char *path, gboolean *in_use,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;
int      files_claim_device  (const char *path, guint64 dev, guint64 ino,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Whether the file holds just these bytes. */
gboolean files_contain     (const char *path, GBytes *contents);

/* Writes out what the host's page cache holds of the file, so that a later flush is short. */
gboolean files_settle      (const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
