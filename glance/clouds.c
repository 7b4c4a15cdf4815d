/* SPDX-License-Identifier: Apache-2.0 */

/* Knows where clouds.yaml and secure.yaml are, and finds an entry in both. */

#include <glance/clouds.h>

#include <string.h>

#include "clouds-entry.h"
#include "error-private.h"

static char *
list_names (const CloudsNode *map)
{
  g_autoptr (GString) list = g_string_new (NULL);

  for (guint i = 0; i < map->names->len && i < 20; i++)
    g_string_append_printf (list, "%s%s", i > 0 ? ", " : "", clouds_show (map->names->pdata[i]));

  return g_string_free (g_steal_pointer (&list), FALSE);
}

/* A member that must be a map where it is there. */
static gboolean
get_map (const CloudsNode  *parent,
         const char        *name,
         const CloudsNode **map,
         GError           **error)
{
  const CloudsNode *node = parent != NULL ? g_hash_table_lookup (parent->values, name) : NULL;
  g_autofree char *message = NULL;

  *map = NULL;
  if (node == NULL || clouds_is_nothing (node))
    return TRUE;

  if (node->kind != CLOUDS_MAP)
    {
      message = g_strdup_printf ("'%s' must be a map: its keys in the lines below, further to the "
                                 "right", clouds_show (name));
      return clouds_fail (node, message, error);
    }
  *map = node;

  return TRUE;
}

/* @root: (nullable). */
static gboolean
find_entry (const CloudsNode  *root,
            const char        *name,
            const CloudsNode **clouds,
            const CloudsNode **cloud,
            const CloudsNode **auth,
            GError           **error)
{
  if (root != NULL && root->kind != CLOUDS_MAP)
    return clouds_fail (root, "this is not a map with 'clouds' in it", error);

  return get_map (root, "clouds", clouds, error)
         && get_map (*clouds, name, cloud, error)
         && get_map (*cloud, "auth", auth, error);
}

static GlanceCloud *
read_cloud (const CloudsNode  *root,
            const CloudsNode  *secure,
            const char        *name,
            GError           **error)
{
  CloudsEntry entry = { .name = name };
  const CloudsNode *clouds = NULL;
  const CloudsNode *secure_clouds = NULL;
  g_autofree char *names = NULL;

  if (!find_entry (root, name, &clouds, &entry.cloud[1], &entry.auth[1], error)
      || !find_entry (secure, name, &secure_clouds, &entry.cloud[0], &entry.auth[0], error))
    return NULL;

  if (entry.cloud[1] == NULL)
    {
      names = clouds != NULL ? list_names (clouds) : g_strdup ("none");
      glance_set_error (error, GLANCE_ERROR_INVALID, "%s: there is no cloud '%s'; there is: %s",
                        root->path, name, names);
      return NULL;
    }

  return clouds_entry_read (&entry, error);
}

static void
add_candidates (GPtrArray  *paths,
                const char *folder,
                const char *stem)
{
  static const char *const suffixes[] = { "yaml", "yml", "json" };

  for (gsize i = 0; i < G_N_ELEMENTS (suffixes); i++)
    g_ptr_array_add (paths, g_strdup_printf ("%s/%s.%s", folder, stem, suffixes[i]));
}

/* Where OpenStack's own tools look, but for the current folder: a daemon's is nobody's choice.
 * @beside: (nullable): the other file. */
static GPtrArray *
list_candidates (const char *stem,
                 const char *variable,
                 const char *beside)
{
  g_autoptr (GPtrArray) paths = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *own = g_build_filename (g_get_user_config_dir (), "openstack", NULL);
  const char *named = g_getenv (variable);

  if (named != NULL && *named != '\0')
    g_ptr_array_add (paths, g_strdup (named));
  if (beside != NULL)
    {
      g_autofree char *folder = g_path_get_dirname (beside);

      add_candidates (paths, folder, stem);
    }
  add_candidates (paths, own, stem);
  add_candidates (paths, "/etc/openstack", stem);

  return g_steal_pointer (&paths);
}

/* The first that is there; NULL without an error when none is. */
static CloudsNode *
read_first (GPtrArray  *paths,
            GError    **error)
{
  g_autoptr (GError) local_error = NULL;
  CloudsNode *root = NULL;

  for (guint i = 0; i < paths->len && root == NULL && local_error == NULL; i++)
    root = clouds_yaml_read (paths->pdata[i], &local_error);
  if (local_error != NULL)
    g_propagate_error (error, g_steal_pointer (&local_error));

  return root;
}

static CloudsNode *
read_clouds (const char  *file,
             GError     **error)
{
  g_autoptr (GPtrArray) paths = NULL;
  g_autoptr (GError) local_error = NULL;
  g_autofree char *list = NULL;
  CloudsNode *root;

  if (file != NULL)
    {
      paths = g_ptr_array_new_with_free_func (g_free);
      g_ptr_array_add (paths, g_strdup (file));
    }
  else
    paths = list_candidates ("clouds", "OS_CLIENT_CONFIG_FILE", NULL);

  root = read_first (paths, &local_error);
  if (local_error != NULL)
    g_propagate_error (error, g_steal_pointer (&local_error));
  else if (root == NULL)
    {
      g_ptr_array_add (paths, NULL);
      list = g_strjoinv (", ", (char **) paths->pdata);
      glance_set_error (error, GLANCE_ERROR_INVALID, "there is no clouds.yaml; looked for: %s",
                        list);
    }

  return root;
}

/**
 * glance_cloud_load:
 * @file: (nullable): the clouds.yaml; otherwise that of $OS_CLIENT_CONFIG_FILE, of
 *   ~/.config/openstack or of /etc/openstack
 * @name: of the entry
 * @error: GLANCE_ERROR_INVALID, with file and line, for what is not understood, not supported or
 *   missing. Values are never shown.
 *
 * The secure.yaml of $OS_CLIENT_SECURE_FILE, beside @file, or of the same two folders goes over it.
 * A password comes with a user, who has an id or a name and a domain, and with a project, likewise;
 * an application credential with its id, or with its name and its user.
 *
 * Returns: (transfer full): the entry
 */
GlanceCloud *
glance_cloud_load (const char  *file,
                   const char  *name,
                   GError     **error)
{
  g_autoptr (CloudsNode) root = read_clouds (file, error);
  g_autoptr (CloudsNode) secure = NULL;
  g_autoptr (GPtrArray) secure_paths = NULL;
  g_autoptr (GError) local_error = NULL;

  if (root == NULL)
    return NULL;

  secure_paths = list_candidates ("secure", "OS_CLIENT_SECURE_FILE", root->path);
  secure = read_first (secure_paths, &local_error);
  if (local_error != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return NULL;
    }

  return read_cloud (root, secure, name, error);
}

static void
wipe (char *secret)
{
  if (secret != NULL)
    explicit_bzero (secret, strlen (secret));
  g_free (secret);
}

/**
 * glance_cloud_free:
 * @self: (transfer full) (nullable): an entry
 */
void
glance_cloud_free (GlanceCloud *self)
{
  if (self == NULL)
    return;

  wipe (self->password);
  wipe (self->application_credential_secret);
  g_free (self->name);
  g_free (self->auth_url);
  g_free (self->user_id);
  g_free (self->username);
  g_free (self->user_domain_id);
  g_free (self->user_domain_name);
  g_free (self->project_id);
  g_free (self->project_name);
  g_free (self->project_domain_id);
  g_free (self->project_domain_name);
  g_free (self->application_credential_id);
  g_free (self->application_credential_name);
  g_free (self->region);
  g_free (self->interface);
  g_free (self->image_url);
  g_free (self->ca_file);
  g_strfreev (self->warnings);
  g_free (self);
}
