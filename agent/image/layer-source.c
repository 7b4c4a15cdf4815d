/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a frozen layer is read: as it is, but for the backing name, which means nothing where
 * it goes. */

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <core/error.h>
#include <image/source.h>

/* The qcow2 header's fields backing_file_offset (8 bytes) and backing_file_size (4). */
#define BLANK_BEGIN 8
#define BLANK_END   20

struct _LayerSource
{
  GObject   parent_instance;
  char     *path;
  int       fd;
  gint64    length;
  gint64    allocated;
  gint64    position;
  gboolean  blank_backing;
};

#define TYPE_LAYER_SOURCE (layer_source_get_type ())
G_DECLARE_FINAL_TYPE (LayerSource, layer_source, AGENT, LAYER_SOURCE, GObject)

static void layer_source_interface_init (ImageSourceInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (LayerSource, layer_source, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (TYPE_IMAGE_SOURCE,
                                                      layer_source_interface_init))

static gint64
layer_source_get_length (ImageSource *source)
{
  return AGENT_LAYER_SOURCE (source)->length;
}

static gint64
layer_source_get_allocated (ImageSource *source)
{
  return AGENT_LAYER_SOURCE (source)->allocated;
}

static gboolean
layer_source_rewind (ImageSource  *source,
                     GError      **error)
{
  AGENT_LAYER_SOURCE (source)->position = 0;

  return TRUE;
}

static void
blank (guint8 *buffer,
       gint64  position,
       gsize   size)
{
  for (gint64 at = MAX (position, BLANK_BEGIN); at < MIN (position + (gint64) size,
                                                          BLANK_END); at++)
    buffer[at - position] = 0;
}

static gssize
layer_source_read (ImageSource  *source,
                   void         *buffer,
                   gsize         size,
                   GError      **error)
{
  LayerSource *self = AGENT_LAYER_SOURCE (source);
  gsize wanted = (gsize) MIN ((gint64) size, self->length - self->position);
  gssize got;

  if (wanted == 0)
    return 0;

  do
    got = pread (self->fd, buffer, wanted, self->position);
  while (got < 0 && errno == EINTR);

  if (got < 0)
    {
      int saved_errno = errno;

      agent_set_error (error, AGENT_ERROR_INTERNAL, NULL,
                       "cannot read %s at byte %" G_GINT64_FORMAT ": %s",
                       self->path, self->position, g_strerror (saved_errno));
      return -1;
    }
  if (got == 0)
    {
      agent_set_error (error, AGENT_ERROR_CONFLICT,
                       "Something else writes to this layer; it must be frozen.",
                       "%s became shorter while it was read: it ends at byte %" G_GINT64_FORMAT
                       " instead of %" G_GINT64_FORMAT, self->path, self->position, self->length);
      return -1;
    }

  if (self->blank_backing)
    blank (buffer, self->position, (gsize) got);
  self->position += got;

  return got;
}

static void
layer_source_finalize (GObject *object)
{
  LayerSource *self = AGENT_LAYER_SOURCE (object);

  if (self->fd >= 0)
    close (self->fd);
  g_free (self->path);

  G_OBJECT_CLASS (layer_source_parent_class)->finalize (object);
}

static void
layer_source_class_init (LayerSourceClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = layer_source_finalize;
}

static void
layer_source_interface_init (ImageSourceInterface *iface)
{
  iface->get_length = layer_source_get_length;
  iface->get_allocated = layer_source_get_allocated;
  iface->rewind = layer_source_rewind;
  iface->read = layer_source_read;
}

static void
layer_source_init (LayerSource *self)
{
  self->fd = -1;
}

/* Opens what is expected, and finds out how long it is. */
static gboolean
open_inode (LayerSource  *self,
            guint64       dev,
            guint64       ino,
            GError      **error)
{
  struct stat st;
  guint64 device_length = 0;

  /* A layer's own name is a file, or a link to a block device that udev made. O_NONBLOCK: not to
   * hang on a FIFO. */
  self->fd = open (self->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (self->fd < 0 || fstat (self->fd, &st) < 0)
    {
      int saved_errno = errno;

      agent_set_error (error,
                       saved_errno == ENOENT ? AGENT_ERROR_CONFLICT
                       : saved_errno == EACCES || saved_errno == EPERM ? AGENT_ERROR_FORBIDDEN
                       : AGENT_ERROR_INTERNAL,
                       NULL, "cannot open the layer %s: %s", self->path, g_strerror (saved_errno));
      return FALSE;
    }

  if ((guint64) st.st_dev != dev || (guint64) st.st_ino != ino)
    {
      agent_set_error (error, AGENT_ERROR_CONFLICT,
                       "Look at the disk's chain again: its files were moved or replaced.",
                       "%s is another file by now than the layer that was frozen", self->path);
      return FALSE;
    }

  if (S_ISBLK (st.st_mode))
    {
      if (ioctl (self->fd, BLKGETSIZE64, &device_length) < 0 || device_length > G_MAXINT64)
        {
          agent_set_error (error, AGENT_ERROR_INTERNAL, NULL,
                           "cannot find the size of the device %s: %s",
                           self->path, g_strerror (errno));
          return FALSE;
        }
      self->length = self->allocated = (gint64) device_length;
    }
  else if (S_ISREG (st.st_mode))
    {
      self->length = st.st_size;
      self->allocated = MIN ((gint64) st.st_blocks * 512, self->length);
    }
  else
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL, "%s is neither a file nor a block device",
                       self->path);
      return FALSE;
    }

  return TRUE;
}

static gboolean
check_qcow2 (LayerSource  *self,
             GError      **error)
{
  guint8 header[BLANK_END];
  guint32 version;

  if (pread (self->fd, header, sizeof header, 0) != (gssize) sizeof header
      || memcmp (header, "QFI\xfb", 4) != 0)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL, "%s is not a qcow2 image", self->path);
      return FALSE;
    }

  memcpy (&version, header + 4, sizeof version);
  version = GUINT32_FROM_BE (version);
  if (version != 2 && version != 3)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                       "%s is a qcow2 image of version %u; 2 and 3 are known",
                       self->path, version);
      return FALSE;
    }

  return TRUE;
}

/**
 * layer_source_open:
 * @path: of the layer
 * @dev: the device it is on, as in struct stat
 * @ino: its inode
 * @format: "qcow2" or "raw"
 * @blank_backing: whether the backing name is taken out of a qcow2 header: bytes 8 to 19 of the
 *   stream are 0, all others as in the file. `qemu-img rebase -u -b PARENT -F FORMAT` restores the
 *   very same file.
 * @error: AGENT_ERROR_CONFLICT when something else stands there, or nothing; AGENT_ERROR_INVALID
 *   when it is not of that format; AGENT_ERROR_FORBIDDEN; AGENT_ERROR_INTERNAL
 *
 * The length is fixed here: what is written behind it is not read, and less is an error.
 *
 * Returns: (transfer full): the bytes of the layer
 */
ImageSource *
layer_source_open (const char  *path,
                   guint64      dev,
                   guint64      ino,
                   const char  *format,
                   gboolean     blank_backing,
                   GError     **error)
{
  g_autoptr (LayerSource) self = g_object_new (TYPE_LAYER_SOURCE, NULL);

  self->path = g_strdup (path);
  self->blank_backing = blank_backing && g_str_equal (format, "qcow2");

  if (!open_inode (self, dev, ino, error))
    return NULL;
  if (self->blank_backing && !check_qcow2 (self, error))
    return NULL;

  posix_fadvise (self->fd, 0, 0, POSIX_FADV_SEQUENTIAL);

  return AGENT_IMAGE_SOURCE (g_steal_pointer (&self));
}
