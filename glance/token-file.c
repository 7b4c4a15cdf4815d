/* SPDX-License-Identifier: Apache-2.0 */

/* Knows a token in a file. The file is read each time, so a new token is in use with the next
 * request. Whoever renews it may be in the middle of that when we look. */

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "error-private.h"
#include "retry.h"
#include "token-private.h"

#define PAUSE_MS 100            /* before a file without a good token is read again */

struct _GlanceTokenFile
{
  GObject parent_instance;
  char   *path;
};

#define GLANCE_TYPE_TOKEN_FILE (glance_token_file_get_type ())
G_DECLARE_FINAL_TYPE (GlanceTokenFile, glance_token_file, GLANCE, TOKEN_FILE, GObject)

static void glance_token_file_interface_init (GlanceTokenInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (GlanceTokenFile, glance_token_file, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (GLANCE_TYPE_TOKEN,
                                                      glance_token_file_interface_init))

/* At most GLANCE_TOKEN_MAX bytes, and not from anything that blocks. */
static char *
read_token (const char  *path,
            GError     **error)
{
  g_autofree char *text = g_malloc0 (GLANCE_TOKEN_MAX + 1);
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  gssize size = fd >= 0 ? read (fd, text, GLANCE_TOKEN_MAX + 1) : -1;
  int saved_errno = errno;

  if (fd >= 0)
    close (fd);

  if (size < 0)
    {
      glance_set_error (error, GLANCE_ERROR_UNAUTHORIZED, "cannot read the token file %s: %s", path,
                        g_strerror (saved_errno));
      return NULL;
    }
  if (size > GLANCE_TOKEN_MAX)
    {
      glance_set_error (error, GLANCE_ERROR_UNAUTHORIZED,
                        "the token file %s holds more than %d bytes: that is no token", path,
                        GLANCE_TOKEN_MAX);
      return NULL;
    }

  g_strstrip (text);
  if (!glance_token_is_sane (text))
    {
      glance_set_error (error, GLANCE_ERROR_UNAUTHORIZED,
                        "the token file %s does not hold a token: it must be one printable word",
                        path);
      return NULL;
    }

  return g_steal_pointer (&text);
}

/* Another one than @refused (nullable). */
static char *
read_new_token (GlanceTokenFile  *self,
                const char       *refused,
                GError          **error)
{
  g_autofree char *text = read_token (self->path, error);

  if (text == NULL)
    return NULL;

  if (g_strcmp0 (text, refused) == 0)
    {
      glance_set_error (error, GLANCE_ERROR_UNAUTHORIZED,
                        "the token in %s is not accepted: it is wrong, or expired; "
                        "write a new one there",
                        self->path);
      return NULL;
    }

  return g_steal_pointer (&text);
}

static char *
glance_token_file_get (GlanceToken   *token,
                       const char    *refused,
                       GCancellable  *cancellable,
                       GError       **error)
{
  GlanceTokenFile *self = GLANCE_TOKEN_FILE (token);

  for (guint attempt = 1; ; attempt++)
    {
      g_autoptr (GError) local_error = NULL;
      char *text = read_new_token (self, refused, &local_error);

      if (text != NULL)
        return text;
      if (attempt == RETRY_ATTEMPTS)
        {
          g_propagate_error (error, g_steal_pointer (&local_error));
          return NULL;
        }

      if (!retry_sleep (retry_wait (PAUSE_MS, attempt, 0), cancellable, error))
        return NULL;
    }
}

static void
glance_token_file_finalize (GObject *object)
{
  GlanceTokenFile *self = GLANCE_TOKEN_FILE (object);

  g_free (self->path);

  G_OBJECT_CLASS (glance_token_file_parent_class)->finalize (object);
}

static void
glance_token_file_class_init (GlanceTokenFileClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = glance_token_file_finalize;
}

static void
glance_token_file_interface_init (GlanceTokenInterface *iface)
{
  iface->get = glance_token_file_get;
}

static void
glance_token_file_init (GlanceTokenFile *self)
{
}

/**
 * glance_token_file_new:
 * @path: of a file that holds one token, and white space around it
 *
 * Returns: (transfer full): a provider
 */
GlanceToken *
glance_token_file_new (const char *path)
{
  GlanceTokenFile *self = g_object_new (GLANCE_TYPE_TOKEN_FILE, NULL);

  self->path = g_strdup (path);

  return GLANCE_TOKEN (self);
}
