/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <core/journal.h>
#include <disk/disk.h>
#include <operations/operations.h>

#include "inspect.h"

G_BEGIN_DECLS

/* The disks of guests as they were last seen: rows of the journal. They tell what a guest that is
 * shut off has, and by which name it is started when the file has got another one since. */

typedef struct
{
  guint64  dev;
  guint64  ino;
  gint64   born_ns;             /* of that file; 0: not known */
  char    *format;
} KnownLayer;

typedef struct
{
  char      *disk;
  char      *published;         /* what the guest is started from */
  char      *path;              /* of the active layer, as QEMU had it open */
  char      *format;            /* of the active layer */
  gint64     virtual_size;      /* bytes */
  char     **aliases;           /* what else it is called */
  GPtrArray *layers;            /* of KnownLayer: the chain, top first */
  gint64     place;             /* among the guest's disks, from 0 */
  gint64     seen_us;           /* since 1970 */
} KnownDisk;

void        known_disk_free      (KnownDisk *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (KnownDisk, known_disk_free)
/* The format that the file was last used with; (nullable) (transfer none). @born_ns: 0: not
 * known. */
const char *known_disk_format_of (const KnownDisk *self, guint64 dev, guint64 ino, gint64 born_ns);

/* Whether there is something to be remembered of it. */
gboolean    known_disk_is_usable (Disk *disk);

/* In the order in which QEMU had them. (transfer full): of KnownDisk */
GPtrArray  *known_disks_load     (Journal *journal, const char *guest,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Those of @disks that can be worked on; what the guest has no more is forgotten. Writes nothing
 * where nothing is new. */
gboolean    known_disks_save     (Journal *journal, const char *guest, GPtrArray *disks,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* The published name of @disk leads to the qcow2 file @path now, which no QEMU has had open yet. */
gboolean    known_disks_move     (Journal *journal, const char *guest, const char *disk,
                                  const char *path, const FileFacts *facts,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* (transfer none) (nullable): that of the name. */
const KnownDisk *known_disks_find (GPtrArray *known, const char *name);
/* Gives @disks the names that they are known by, and the published ones, where these still lead to
 * the active file. Blocking. */
void        known_disks_name     (GPtrArray *known, GPtrArray *disks);

/* Looks at an attached guest as inspect_async() does, names its disks as they are known, and
 * remembers them. */
void        known_disks_inspect_async  (Operations *operations, Guest *guest,
                                        GCancellable *cancellable, GAsyncReadyCallback callback,
                                        gpointer user_data);
Inspection *known_disks_inspect_finish (GAsyncResult *result,
                                        GError **error) G_GNUC_WARN_UNUSED_RESULT;

gboolean    known_disks_is_idle  (Operations *operations, Guest *guest);

/* Remembers the disks of each guest when it is attached, and when the last operation on it has
 * ended, as long as @operations lives. */
void        known_disks_watch    (Operations *operations);

G_END_DECLS
