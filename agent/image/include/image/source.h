/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Bytes that go up as one image: a length known before the first byte, read once from front to
 * back, and again from the front when an upload has to start anew. Reading blocks: it is done in
 * threads of a transfer, by one at a time. */

#define TYPE_IMAGE_SOURCE (image_source_get_type ())
G_DECLARE_INTERFACE (ImageSource, image_source, AGENT, IMAGE_SOURCE, GObject)

struct _ImageSourceInterface
{
  GTypeInterface parent;
  gint64     (*get_length) (ImageSource *self);
  gboolean   (*rewind)     (ImageSource *self, GError **error);
  gssize     (*read)       (ImageSource *self, void *buffer, gsize size, GError **error);
  gint64     (*get_allocated) (ImageSource *self);              /* (nullable) */
  /* (nullable): takes @task and returns TRUE into it. */
  void       (*close)      (ImageSource *self, GTask *task);
};

gint64   image_source_get_length (ImageSource *self);           /* bytes */
/* Of these, what is no hole as far as is known: the room that the image may need in a folder. */
gint64   image_source_get_allocated (ImageSource *self);
gboolean image_source_rewind     (ImageSource *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Returns the bytes read, 0 at the end, -1 on error. A file that became shorter is an error. */
gssize   image_source_read       (ImageSource *self, void *buffer, gsize size,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* A frozen layer as it is. With @blank_backing the backing name is taken out of the qcow2 header
 * (bytes 8..19 zero; the parent is told in the image's properties). The file must be the inode
 * given: AGENT_ERROR_CONFLICT when something else stands there by now. */
ImageSource *layer_source_open   (const char *path, guint64 dev, guint64 ino, const char *format,
                                  gboolean blank_backing, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* One layer of a frozen chain. Plain data. */
typedef struct
{
  char   *path;
  guint64 dev;
  guint64 ino;
  char   *format;               /* "qcow2" or "raw" */
  gint64  size;                 /* bytes, and time of change, when it was frozen: what differs is */
  gint64  mtime_ns;             /* not read; 0: not known */
} ImageLayer;

ImageLayer  *image_layer_new     (const char *path, guint64 dev, guint64 ino, const char *format);
void         image_layer_free    (ImageLayer *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ImageLayer, image_layer_free)

/* What a frozen chain shows, as one standalone image without parents. @layers: of ImageLayer, top
 * first, all that there are; none may change while the source is open. @format: of the image,
 * "qcow2" or "raw". @program: the qemu-storage-daemon that reads the chain; @folder: for its
 * socket, ours alone. The allocation map is read before this returns: the length is known then.
 * Call it in the main loop's thread. */
void         flat_source_open_async   (GPtrArray *layers, const char *format, const char *program,
                                       const char *folder, GCancellable *cancellable,
                                       GAsyncReadyCallback callback, gpointer user_data);
ImageSource *flat_source_open_finish  (GAsyncResult *result,
                                       GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Takes away the sockets that a death of ours has left in @folder. */
void         flat_source_clean_up     (const char *folder);
/* Lets go of the layers: when this returns, no process of ours has one open; what is still read
 * fails. Sources of other kinds return at once. The last reference to an open flat source ends its
 * process too, but does not wait. */
void         image_source_close_async  (ImageSource *self, GAsyncReadyCallback callback,
                                        gpointer user_data);
void         image_source_close_finish (ImageSource *self, GAsyncResult *result);

G_END_DECLS
