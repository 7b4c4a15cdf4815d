/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the small requests of the image service: create, get, list, delete. */

#include "images-private.h"

#include <string.h>

#include "error-private.h"
#include "image-private.h"
#include "json.h"

#define PAGE_IMAGES 100
#define PAGES_MAX   200

struct _GlanceImages
{
  GObject  parent_instance;
  Service *service;
};

G_DEFINE_FINAL_TYPE (GlanceImages, glance_images, G_TYPE_OBJECT)

static void
glance_images_finalize (GObject *object)
{
  GlanceImages *self = GLANCE_IMAGES (object);

  service_free (self->service);

  G_OBJECT_CLASS (glance_images_parent_class)->finalize (object);
}

static void
glance_images_class_init (GlanceImagesClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = glance_images_finalize;
}

static void
glance_images_init (GlanceImages *self)
{
}

/**
 * glance_images_new:
 * @settings: where it is, and how patient to be
 * @token: (nullable): who we are
 * @error: GLANCE_ERROR_INVALID when the address is none
 *
 * Returns: (transfer full): the service; nothing is asked yet
 */
GlanceImages *
glance_images_new (const GlanceSettings  *settings,
                   GlanceToken           *token,
                   GError               **error)
{
  Service *service = service_new (settings, token, error);
  GlanceImages *self;

  if (service == NULL)
    return NULL;

  self = g_object_new (GLANCE_TYPE_IMAGES, NULL);
  self->service = service;

  return self;
}

/**
 * glance_images_get_service:
 * @self: the images
 *
 * Returns: (transfer none): what they are asked of
 */
Service *
glance_images_get_service (GlanceImages *self)
{
  return self->service;
}

/**
 * glance_images_path:
 * @id: of an image
 * @suffix: (nullable): what follows it
 * @error: GLANCE_ERROR_INVALID when @id is no UUID
 *
 * Returns: (transfer full): the path of it
 */
char *
glance_images_path (const char  *id,
                    const char  *rest,
                    GError     **error)
{
  if (!g_uuid_string_is_valid (id))
    {
      glance_set_error (error, GLANCE_ERROR_INVALID,
                        "\"%s\" is not an image's id: it must be a UUID", id);
      return NULL;
    }

  return g_strconcat ("/v2/images/", id, rest, NULL);
}

/* The id is taken: by us, when an earlier answer was lost on its way, or by somebody else. */
static gboolean
recognize (GlanceImages       *self,
           const GlanceImage  *image,
           const HttpAnswer   *refusal,
           GCancellable       *cancellable,
           GError            **error)
{
  g_autoptr (GError) local_error = NULL;
  g_autoptr (GlanceImage) found = glance_images_get (self, image->id, cancellable, &local_error);

  if (found != NULL && glance_image_is_made_of (found, image))
    return TRUE;

  if (found != NULL || g_error_matches (local_error, GLANCE_ERROR, GLANCE_ERROR_NOT_FOUND)
      || g_error_matches (local_error, GLANCE_ERROR, GLANCE_ERROR_FORBIDDEN))
    {
      glance_set_answer_error (error, refusal, "create the image");
      if (error != NULL)
        g_prefix_error (error, "the id %s belongs, or belonged, to another image: ", image->id);
    }
  else
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
    }

  return FALSE;
}

/**
 * glance_images_create:
 * @self: the service
 * @image: the record; id, name, disk_format, hidden, min_disk, min_ram and properties are sent
 * @cancellable: (nullable): ends it at any moment
 * @error: GLANCE_ERROR_CONFLICT when the id belongs to another image, or to one that was deleted;
 *   GLANCE_ERROR_INVALID for a record that cannot be one; any other GLANCE_ERROR;
 *   G_IO_ERROR_CANCELLED
 *
 * May be repeated: an image that is there already and was made of the same record is a success.
 *
 * Returns: whether the image is there
 */
gboolean
glance_images_create (GlanceImages       *self,
                      const GlanceImage  *image,
                      GCancellable       *cancellable,
                      GError            **error)
{
  g_autoptr (GBytes) json = glance_image_to_request (image, error);
  g_autoptr (HttpAnswer) answer = NULL;
  g_autofree char *action = g_strdup_printf ("create image %s", image->id);

  if (json == NULL)
    return FALSE;

  answer = service_call (self->service, "POST", "/v2/images", json, image->id, cancellable, error);
  if (answer == NULL)
    return FALSE;

  if (answer->status == 409)
    return recognize (self, image, answer, cancellable, error);

  if (answer->status != 201)
    {
      glance_set_answer_error (error, answer, action);
      return FALSE;
    }

  return TRUE;
}

/**
 * glance_images_get:
 * @self: the service
 * @id: of the image
 * @cancellable: (nullable): ends it at any moment
 * @error: GLANCE_ERROR_NOT_FOUND, any other GLANCE_ERROR, G_IO_ERROR_CANCELLED
 *
 * Returns: (transfer full): the image as it is now
 */
GlanceImage *
glance_images_get (GlanceImages  *self,
                   const char    *id,
                   GCancellable  *cancellable,
                   GError       **error)
{
  g_autofree char *path = glance_images_path (id, NULL, error);
  g_autofree char *action = g_strdup_printf ("read image %s", id);
  g_autoptr (HttpAnswer) answer = NULL;
  g_autoptr (JsonNode) json = NULL;
  g_autoptr (GlanceImage) image = NULL;

  if (path == NULL)
    return NULL;

  answer = service_call (self->service, "GET", path, NULL, id, cancellable, error);
  if (answer == NULL)
    return NULL;

  if (answer->status != 200)
    {
      glance_set_answer_error (error, answer, action);
      return NULL;
    }

  json = glance_json_parse (answer->body, error);
  if (json == NULL)
    return NULL;
  image = glance_image_from_json (json_node_get_object (json), error);
  if (image == NULL)
    return NULL;

  if (g_ascii_strcasecmp (image->id, id) != 0)
    {
      glance_set_error (error, GLANCE_ERROR_PROTOCOL,
                        "asked for image %s, the service answered with %s",
                        id, image->id);
      return NULL;
    }

  return g_steal_pointer (&image);
}

/* Adds what stands in @page; a record that cannot be understood is somebody else's and left out. */
static void
add_images (GPtrArray  *images,
            JsonObject *page)
{
  JsonArray *array = glance_json_get_array (page, "images");
  guint n = array != NULL ? json_array_get_length (array) : 0;

  for (guint i = 0; i < n; i++)
    {
      g_autoptr (GError) error = NULL;
      JsonNode *node = json_array_get_element (array, i);
      GlanceImage *image;

      if (!JSON_NODE_HOLDS_OBJECT (node))
        continue;

      image = glance_image_from_json (json_node_get_object (node), &error);
      if (image != NULL)
        g_ptr_array_add (images, image);
      else
        g_debug ("an image is left out of the list: %s", error->message);
    }
}

/* What follows the page, or NULL. The link is the service's word: only its query is used, at our
 * address. */
static char *
next_path (JsonObject *page)
{
  const char *link = glance_json_get_string (page, "next");
  const char *query = link != NULL ? strchr (link, '?') : NULL;

  if (query == NULL || strpbrk (query, " \r\n#") != NULL)
    return NULL;

  return g_strconcat ("/v2/images", query, NULL);
}

static gboolean
list_kind (GlanceImages  *self,
           const char    *filter,
           GPtrArray     *images,
           GCancellable  *cancellable,
           GError       **error)
{
  g_autofree char *path = g_strdup_printf ("/v2/images?limit=%d&sort=created_at:desc&%s",
                                           PAGE_IMAGES,
                                           filter);

  for (guint page = 0; path != NULL; page++)
    {
      g_autoptr (HttpAnswer) answer = NULL;
      g_autoptr (JsonNode) json = NULL;

      if (page == PAGES_MAX)
        {
          glance_set_error (error, GLANCE_ERROR_PROTOCOL,
                            "the list of images does not end after %d pages",
                            PAGES_MAX);
          return FALSE;
        }

      answer = service_call (self->service, "GET", path, NULL, NULL, cancellable, error);
      if (answer == NULL)
        return FALSE;
      if (answer->status != 200)
        {
          glance_set_answer_error (error, answer, "list images");
          return FALSE;
        }

      json = glance_json_parse (answer->body, error);
      if (json == NULL)
        return FALSE;

      add_images (images, json_node_get_object (json));
      g_free (path);
      path = next_path (json_node_get_object (json));
    }

  return TRUE;
}

static gint
compare_age (gconstpointer a,
             gconstpointer b)
{
  const GlanceImage *left = *(GlanceImage *const *) a;
  const GlanceImage *right = *(GlanceImage *const *) b;

  return (left->created_us < right->created_us) - (left->created_us > right->created_us);
}

/**
 * glance_images_list:
 * @self: the service
 * @cancellable: (nullable): ends it at any moment
 * @error: GLANCE_ERROR, G_IO_ERROR_CANCELLED
 *
 * Returns: (transfer full) (element-type GlanceImage): all images that we may see, hidden ones too,
 * newest first
 */
GPtrArray *
glance_images_list (GlanceImages  *self,
                    GCancellable  *cancellable,
                    GError       **error)
{
  g_autoptr (GPtrArray) images =
    g_ptr_array_new_with_free_func ((GDestroyNotify) glance_image_free);

  /* The service has no list of both. */
  if (!list_kind (self, "os_hidden=false", images, cancellable, error)
      || !list_kind (self, "os_hidden=true", images, cancellable, error))
    return NULL;

  g_ptr_array_sort (images, compare_age);

  return g_steal_pointer (&images);
}

/**
 * glance_images_delete:
 * @self: the service
 * @id: of the image
 * @cancellable: (nullable): ends it at any moment
 * @error: GLANCE_ERROR_CONFLICT when it is in use, GLANCE_ERROR_FORBIDDEN when it is protected, any
 *   other GLANCE_ERROR, G_IO_ERROR_CANCELLED
 *
 * Returns: %TRUE when there is no such image any more
 */
gboolean
glance_images_delete (GlanceImages  *self,
                      const char    *id,
                      GCancellable  *cancellable,
                      GError       **error)
{
  g_autofree char *path = glance_images_path (id, NULL, error);
  g_autofree char *action = g_strdup_printf ("delete image %s", id);
  g_autoptr (HttpAnswer) answer = NULL;

  if (path == NULL)
    return FALSE;

  answer = service_call (self->service, "DELETE", path, NULL, id, cancellable, error);
  if (answer == NULL)
    return FALSE;

  if (answer->status != 204 && answer->status != 404 && answer->status != 410)
    {
      glance_set_answer_error (error, answer, action);
      return FALSE;
    }

  return TRUE;
}
