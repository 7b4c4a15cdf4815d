/* SPDX-License-Identifier: Apache-2.0 */

/* Knows all routes. data/openapi.yaml explains them; a test compares the two. */

#include "routes.h"

#include "nova.h"

#include <core/error.h>

#include <string.h>

static const Route routes[] = {
  /* method   pattern                    handler           flags             query          */
  { "GET",    "/v1/guests",              guests_list,      ROUTE_PLAIN,      { NULL }             },
  { "POST",   "/v1/guests",              guests_attach,    ROUTE_TAKES_BODY | ROUTE_ADMIN,
                                                                             { NULL }             },
  { "GET",    "/v1/guests/{}",           guest_show,       ROUTE_PLAIN,      { NULL }             },
  { "DELETE", "/v1/guests/{}",           guest_detach,     ROUTE_ADMIN,      { NULL }             },
  { "GET",    "/v1/guests/{}/disks",     guest_disks,      ROUTE_PLAIN,      { NULL }             },
  { "POST",   "/v1/guests/{}/resume",    guest_resume,     ROUTE_PLAIN,      { NULL }             },
  { "GET",    "/v1/guests/{}/snapshots", snapshots_list,   ROUTE_PLAIN,      { NULL }             },
  { "POST",   "/v1/guests/{}/snapshots", snapshots_take,   ROUTE_TAKES_BODY, { NULL }             },
  { "POST",   "/v1/guests/{}/images",    guest_image_take, ROUTE_TAKES_BODY, { NULL }             },
  { "POST",   "/v1/guests/{}/disks/{}/commit",
                                         disk_commit,      ROUTE_TAKES_BODY, { "dry_run" }        },
  { "POST",   "/v1/guests/{}/disks/{}/stream",
                                         disk_stream,      ROUTE_TAKES_BODY, { "dry_run" }        },
  { "POST",   "/v1/guests/{}/disks/{}/mirror",
                                         disk_mirror,      ROUTE_TAKES_BODY | ROUTE_ADMIN,
                                                                             { "dry_run" }        },
  { "DELETE", "/v1/guests/{}/snapshots/{}",
                                         snapshot_delete,  ROUTE_TAKES_BODY,
                                                           { "dry_run", "disks" }           },
  { "POST",   "/v1/guests/{}/snapshots/{}/revert",
                                         snapshot_revert,  ROUTE_TAKES_BODY, { "dry_run" }        },
  { "POST",   "/v1/guests/{}/shorten",   guest_shorten,    ROUTE_TAKES_BODY, { "dry_run" }        },
  { "POST",   "/v1/guests/{}/restore",   guest_restore,    ROUTE_TAKES_BODY, { "dry_run" }        },
  { "GET",    "/v1/guests/{}/tree",      tree_show,        ROUTE_PLAIN,      { NULL }             },
  { "PUT",    "/v1/guests/{}/tree",      tree_adopt,       ROUTE_TAKES_BODY | ROUTE_ADMIN,
                                                                             { NULL }             },
  { "GET",    "/v1/operations",          operations_list,  ROUTE_PLAIN,      { "guest", "state" } },
  { "GET",    "/v1/operations/{}",       operation_show,   ROUTE_PLAIN,      { "wait" }           },
  { "PATCH",  "/v1/operations/{}",       operation_change, ROUTE_TAKES_BODY, { NULL }             },
  { "DELETE", "/v1/operations/{}",       operation_cancel, ROUTE_PLAIN,      { NULL }             },
  { "GET",    "/v1/images",              images_list,      ROUTE_PLAIN,      { NULL }             },
  { "GET",    "/v1/images/{}",           image_show,       ROUTE_PLAIN,      { NULL }             },
  { "DELETE", "/v1/images/{}",           image_delete,     ROUTE_PLAIN,      { "force" }          },
  { "POST",   "/v1/reload",              reload_settings,  ROUTE_ADMIN | ROUTE_MENDS,
                                                                             { NULL }             },
  { "GET",    "/v1/health",              health_show,      ROUTE_PLAIN,      { NULL }             },
  { "POST",   "/v1/journal/rebuild",
              journal_rebuild,           ROUTE_TAKES_BODY | ROUTE_ADMIN | ROUTE_MENDS,
                                                                             { NULL }             },
};

static const Route nova_routes[] = {
  { "GET",  "/",                             nova_versions_list,  ROUTE_PUBLIC,     { NULL } },
  { "GET",  "/v2.1",                         nova_version_show,   ROUTE_PUBLIC,     { NULL } },
  { "GET",  "/v2.1/",                        nova_version_show,   ROUTE_PUBLIC,     { NULL } },
  { "GET",  "/v2.1/servers",                 nova_servers_list,   ROUTE_PLAIN,      { NULL } },
  { "GET",  "/v2.1/servers/detail",          nova_servers_detail, ROUTE_PLAIN,      { NULL } },
  { "GET",  "/v2.1/servers/{}",              nova_server_show,    ROUTE_PLAIN,      { NULL } },
  { "POST", "/v2.1/servers/{}/action",       nova_server_act,     ROUTE_TAKES_BODY, { NULL } },
  { "GET",  "/v2.1/servers/{}/os-instance-actions",
                                             nova_actions_list,   ROUTE_PLAIN,      { NULL } },
  { "GET",  "/v2.1/servers/{}/os-instance-actions/{}",
                                             nova_action_show,    ROUTE_PLAIN,      { NULL } },
};

/* What stands in place of the {} of @pattern, still encoded; NULL when @path is not of it. */
static char **
match (const char *pattern,
       const char *path)
{
  g_auto (GStrv) wanted = g_strsplit (pattern, "/", -1);
  g_auto (GStrv) given = g_strsplit (path, "/", -1);
  g_autoptr (GStrvBuilder) names = g_strv_builder_new ();

  if (g_strv_length (wanted) != g_strv_length (given))
    return NULL;

  for (guint i = 0; wanted[i] != NULL; i++)
    {
      if (strcmp (wanted[i], "{}") == 0)
        {
          if (given[i][0] == '\0')
            return NULL;
          g_strv_builder_add (names, given[i]);
        }
      else if (strcmp (wanted[i], given[i]) != 0)
        return NULL;
    }
  return g_strv_builder_end (names);
}

/* Once, in place. */
static gboolean
decode (char   **names,
        GError **error)
{
  for (guint i = 0; names[i] != NULL; i++)
    {
      char *name = g_uri_unescape_string (names[i], NULL);

      if (name == NULL || !g_utf8_validate (name, -1, NULL))
        {
          g_free (name);
          agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                           "the path has a broken percent escape, or is no UTF-8");
          return FALSE;
        }
      g_free (names[i]);
      names[i] = name;
    }
  return TRUE;
}

/* The row for @method; the methods of all other rows of @path are added to @methods. */
static const Route *
find_row (const Route  *rows,
          gsize         n_rows,
          const char   *method,
          const char   *path,
          char       ***names,
          GString      *methods)
{
  for (gsize i = 0; i < n_rows; i++)
    {
      g_auto (GStrv) found = match (rows[i].pattern, path);

      if (found == NULL)
        continue;
      if (strcmp (rows[i].method, method) == 0)
        {
          *names = g_steal_pointer (&found);
          return &rows[i];
        }
      if (methods->len > 0)
        g_string_append (methods, ", ");
      g_string_append (methods, rows[i].method);
    }
  return NULL;
}

/**
 * route_find:
 * @method: an HTTP method
 * @path: a path, percent-encoded as it came
 * @names: (out) (transfer full) (nullable): what stands where the pattern has {}, decoded once
 * @allow: (out) (transfer full) (nullable): the methods of @path when @method is not among them
 * @error: return location
 *
 * Returns: (nullable): the route. %NULL with @error, %AGENT_ERROR_INVALID, for a name that cannot
 *   be decoded; with @allow for a method that the path lacks; with neither for an unknown path
 */
const Route *
route_find (const char  *method,
            const char  *path,
            char      ***names,
            char       **allow,
            GError     **error)
{
  g_autoptr (GString) methods = g_string_new (NULL);
  g_autofree char *normal = nova_path_normalize (path);
  g_auto (GStrv) found = NULL;
  const Route *route;

  *names = NULL;
  *allow = NULL;

  if (!nova_owns (path))
    route = find_row (routes, G_N_ELEMENTS (routes), method, path, &found, methods);
  else
    /* libsoup leaves out the body. */
    route = find_row (nova_routes, G_N_ELEMENTS (nova_routes),
                      strcmp (method, "HEAD") == 0 ? "GET" : method, normal, &found, methods);

  if (route == NULL)
    {
      if (methods->len > 0)
        *allow = g_string_free (g_steal_pointer (&methods), FALSE);
      return NULL;
    }
  if (!decode (found, error))
    return NULL;
  *names = g_steal_pointer (&found);
  return route;
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

  /* Nova takes what it does not know from clients that are newer than it. */
  if (query == NULL || nova_owns (route->pattern))
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
