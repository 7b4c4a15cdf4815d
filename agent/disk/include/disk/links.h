/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>

#include <disk/files.h>

G_BEGIN_DECLS

/* Which image files stand on which: read from the headers in folders, never by probing for a format
 * beyond qcow2's magic. */

typedef struct
{
  char      *path;              /* one of its names, the lowest layer name where it has one */
  FileFacts  facts;
  char      *format;            /* "qcow2", or "raw" for whatever is not */
  gint64     virtual_size;      /* bytes */
  gboolean   encrypted;
  gboolean   has_data_file;     /* its data is in a file of its own */
  gboolean   extended_l2;
  gboolean   has_snapshots;     /* internal ones */
  char      *backing;           /* (nullable): absolute; or, of what is no local file (json:, nbd:),
                                 * as its header says it */
  char      *backing_format;    /* (nullable) */
  gboolean   backing_relative;  /* its header says it from where the image is opened */
  gboolean   backing_known;     /* what follows holds, as in FileFacts */
  guint64    backing_dev;
  guint64    backing_ino;
  gint64     backing_born_ns;
} ImageLink;

void       image_link_free   (ImageLink *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ImageLink, image_link_free)

/* Of one file or block device. @format: "raw", then its bytes mean nothing; "qcow2", then they must
 * be a header; or NULL, then qcow2's magic decides. Blocking. AGENT_ERROR CONFLICT, INTERNAL. */
ImageLink *image_link_read   (const char *path, const char *format,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Whether its backing file is the file @path, or may be: its header says so in words of QEMU's. */
gboolean   image_link_may_stand_on (const ImageLink *self, const char *path, guint64 dev,
                                    guint64 ino);

/* All regular files in @folders (not below them), each inode once. A file that cannot be read is
 * left out; a folder that cannot is an error. Blocking. (transfer full): of ImageLink */
GPtrArray *links_scan        (const char *const *folders, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Those of @links that stand directly on the file. (transfer container) */
GPtrArray *links_on          (GPtrArray *links, guint64 dev, guint64 ino);
/* (nullable) (transfer none) */
ImageLink *links_find        (GPtrArray *links, guint64 dev, guint64 ino);

G_END_DECLS
