/* SPDX-License-Identifier: Apache-2.0 */

/* Knows all routes. data/openapi.yaml explains them; a test compares the two. */

#include "routes.h"

#include <core/error.h>

#include <string.h>

static const Route routes[] = {
  /* method   pattern                    handler           flags             query          */
  { "GET",    "/v1/guests",              guests_list,      ROUTE_PLAIN,      { NULL }             },
  { "POST",   "/v1/guests",              guests_attach,    ROUTE_TAKES_BODY, { NULL }             },
  { "GET",    "/v1/guests/{}",           guest_show,       ROUTE_PLAIN,      { NULL }             },
  { "DELETE", "/v1/guests/{}",           guest_detach,     ROUTE_PLAIN,      { NULL }             },
  { "GET",    "/v1/guests/{}/disks",     guest_disks,      ROUTE_PLAIN,      { NULL }             },
  { "GET",    "/v1/guests/{}/snapshots", snapshots_list,   ROUTE_PLAIN,      { NULL }             },
  { "POST",   "/v1/guests/{}/snapshots", snapshots_take,   ROUTE_TAKES_BODY, { NULL }             },
  { "GET",    "/v1/operations",          operations_list,  ROUTE_PLAIN,      { "guest", "state" } },
  { "GET",    "/v1/operations/{}",       operation_show,   ROUTE_PLAIN,      { "wait" }           },
  { "DELETE", "/v1/operations/{}",       operation_cancel, ROUTE_PLAIN,      { NULL }             },
  { "GET",    "/v1/images",              images_list,      ROUTE_PLAIN,      { NULL }             },
  { "GET",    "/v1/images/{}",           image_show,       ROUTE_PLAIN,      { NULL }             },
  { "DELETE", "/v1/images/{}",           image_delete,     ROUTE_PLAIN,      { "force" }          },
  { "GET",    "/v1/health",              health_show,      ROUTE_PLAIN,      { NULL }             },
};

/* Whether @path is of @pattern; @name receives the segment of {}, still encoded. */
static gboolean
matches (const char  *pattern,
         const char  *path,
         char       **name)
{
  g_auto (GStrv) wanted = g_strsplit (pattern, "/", -1);
  g_auto (GStrv) given = g_strsplit (path, "/", -1);

  if (g_strv_length (wanted) != g_strv_length (given))
    return FALSE;

  for (guint i = 0; wanted[i] != NULL; i++)
    {
      if (strcmp (wanted[i], "{}") == 0)
        {
          if (given[i][0] == '\0')
            return FALSE;
        }
      else if (strcmp (wanted[i], given[i]) != 0)
        return FALSE;
    }

  for (guint i = 0; wanted[i] != NULL; i++)
    if (strcmp (wanted[i], "{}") == 0)
      *name = g_strdup (given[i]);
  return TRUE;
}

/**
 * route_find:
 * @method: an HTTP method
 * @path: a path, percent-encoded as it came
 * @name: (out) (transfer full) (nullable): what stands where the pattern has {}, decoded once
 * @allow: (out) (transfer full) (nullable): the methods of @path when @method is not among them
 * @error: return location
 *
 * Returns: (nullable): the route. %NULL with @error, %AGENT_ERROR_INVALID, for a name that cannot
 *   be decoded; with @allow for a method that the path lacks; with neither for an unknown path
 */
const Route *
route_find (const char  *method,
            const char  *path,
            char       **name,
            char       **allow,
            GError     **error)
{
  g_autoptr (GString) methods = g_string_new (NULL);

  *name = *allow = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (routes); i++)
    {
      g_autofree char *encoded = NULL;

      if (!matches (routes[i].pattern, path, &encoded))
        continue;

      if (strcmp (routes[i].method, method) != 0)
        {
          if (methods->len > 0)
            g_string_append (methods, ", ");
          g_string_append (methods, routes[i].method);
          continue;
        }
      if (encoded != NULL)
        {
          *name = g_uri_unescape_string (encoded, NULL);
          if (*name == NULL || !g_utf8_validate (*name, -1, NULL))
            {
              g_clear_pointer (name, g_free);
              agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                               "the path has a broken percent escape, or is no UTF-8");
              return NULL;
            }
        }
      return &routes[i];
    }

  if (methods->len > 0)
    *allow = g_string_free (g_steal_pointer (&methods), FALSE);
  return NULL;
}

/**
 * route_check_query:
 * @route: a route
 * @query: (nullable): what came behind the ?
 * @error: return location
 *
 * Returns: whether @route has all keys of @query; else %AGENT_ERROR_INVALID
 */
gboolean
route_check_query (const Route  *route,
                   GHashTable   *query,
                   GError      **error)
{
  GHashTableIter iter;
  gpointer key;

  if (query == NULL)
    return TRUE;

  g_hash_table_iter_init (&iter, query);
  while (g_hash_table_iter_next (&iter, &key, NULL))
    {
      gboolean known = FALSE;

      for (gsize i = 0; i < G_N_ELEMENTS (route->query) && route->query[i] != NULL; i++)
        known = known || strcmp (route->query[i], key) == 0;
      if (!known)
        {
          g_autofree char *shown = g_utf8_make_valid (key, -1);

          agent_set_error (error, AGENT_ERROR_INVALID, NULL, "this path has no parameter \"%s\"",
                           shown);
          return FALSE;
        }
    }
  return TRUE;
}
