/* SPDX-License-Identifier: Apache-2.0 */

/* Knows /v1/images. */

#include "answer.h"
#include "request.h"

static void
images_known (GObject      *source,
              GAsyncResult *result,
              gpointer      user_data)
{
  Request *request = user_data;
  g_autoptr (GError) error = NULL;
  ImageStore *store = AGENT_IMAGE_STORE (source);
  g_autoptr (GPtrArray) images = image_store_list_finish (store, result, &error);
  g_autoptr (JsonArray) array = json_array_new ();

  if (images == NULL)
    {
      request_answer_error (request, g_steal_pointer (&error));
      return;
    }

  for (guint i = 0; i < images->len; i++)
    json_array_add_element (array, image_info_to_json (g_ptr_array_index (images, i)));
  request_answer (request, SOUP_STATUS_OK,
                  answer_wrap ("images", json_node_init_array (json_node_alloc (), array)));
}

/**
 * images_list:
 * @request: (transfer full): GET /v1/images
 */
void
images_list (Request *request)
{
  image_store_list_async (operations_get_store (request_get_operations (request)),
                          request_get_cancellable (request), images_known, request);
}

static void
image_known (GObject      *source,
             GAsyncResult *result,
             gpointer      user_data)
{
  Request *request = user_data;
  g_autoptr (GError) error = NULL;
  g_autoptr (ImageInfo) image = image_store_get_finish (AGENT_IMAGE_STORE (source), result, &error);

  if (image == NULL)
    request_answer_error (request, g_steal_pointer (&error));
  else
    request_answer (request, SOUP_STATUS_OK, image_info_to_json (image));
}

/**
 * image_show:
 * @request: (transfer full): GET /v1/images/{image}
 */
void
image_show (Request *request)
{
  image_store_get_async (operations_get_store (request_get_operations (request)),
                         request_get_name (request), request_get_cancellable (request), image_known,
                         request);
}

static void
image_deleted (GObject      *source,
               GAsyncResult *result,
               gpointer      user_data)
{
  Request *request = user_data;
  g_autoptr (GError) error = NULL;

  if (operations_remove_image_finish (AGENT_OPERATIONS (source), result, &error))
    request_answer (request, SOUP_STATUS_NO_CONTENT, NULL);
  else
    request_answer_error (request, g_steal_pointer (&error));
}

/**
 * image_delete:
 * @request: (transfer full): DELETE /v1/images/{image}
 */
void
image_delete (Request *request)
{
  g_autoptr (GError) error = NULL;
  gboolean forced = FALSE;

  if (!request_get_flag (request, "force", &forced, &error))
    request_answer_error (request, g_steal_pointer (&error));
  else
    operations_remove_image_async (request_get_operations (request), request_get_name (request),
                                   forced, NULL, image_deleted, request);
}
